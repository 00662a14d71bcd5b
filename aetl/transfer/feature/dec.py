"""Clusters that sharpen themselves (Xie et al., 2016, DEC, arXiv:1511.06335)."""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from sklearn.cluster import KMeans
from torch import Tensor, nn

from aetl.ranges import Count, Size
from aetl.rng import key_seed
from aetl.task.base import Kind, Task, numpy
from aetl.transfer.base import Group, Step, TransferStrategy, View
from aetl.transfer.network import Network, evaluating


class Dec(TransferStrategy):
    """Encoder and centres train on ``KL(P || Q)``: ``q_ij`` is the share of centre j in example i
    by a Student's t of one degree of freedom (equation 1), ``p_ij`` goes with ``q_ij^2 / f_j``
    (equation 3), f being the clusters' shares of all examples, computed every ``update`` steps.

    The centres start at k-means' of the pretrained features (of ``starts``); P is that of the
    network as it was at the last update. Departs from the paper in that the number of steps is
    fixed, where the paper waits until few assignments change.
    """

    tasks: ClassVar[frozenset[Kind]] = frozenset({"clustering"})

    def __init__(self, *, clusters: Size, update: Count, starts: Count) -> None:
        self.clusters, self.update, self.starts = clusters, update, starts

    def adapt(self, network: Network) -> None:
        base = network.head
        network.head = Assignment(network.feature_dim, self.clusters).to(base.weight)
        network.head.bias = base.bias  # stays as it was, and has no part in anything

    def groups(self, network: Network) -> list[Group]:
        return [Group(list(network.in_use().values()), 1.0)]

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        features = numpy(view.features("target_labels"))
        seed = key_seed(*view.rng.fork("kmeans").key) % 2**32
        found = KMeans(self.clusters, n_init=self.starts, random_state=seed).fit(features)
        centres = torch.from_numpy(found.cluster_centers_)
        network.head.weight.data.copy_(centres)
        return Target(network, view.examples("target_labels").inputs(), self.clusters)

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        target = cast(Target, module)
        if target.at_step() % self.update == 0:
            target.renew(step.network)
        stream = step.streams["labelled"]
        return sharpening(stream.output, target.assigned(stream.x), target.share)


class Assignment(nn.Linear):
    """``log q`` of each cluster; the weight's rows are the centres."""

    def __init__(self, in_features: int, clusters: int) -> None:
        super().__init__(in_features, clusters, bias=False)

    def forward(self, input: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        distance = (input[:, None] - self.weight).square().sum(2)
        return torch.log_softmax(-torch.log1p(distance), 1)


class Target(nn.Module):
    """The network at the last update, its clusters' shares of all examples, and the steps done.

    (P of a network that moves within a step would only drive it on: all goes to one cluster.)
    """

    steps: Tensor
    share: Tensor

    def __init__(self, network: Network, x: Float[Tensor, "N ..."], clusters: int) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("share", torch.full((clusters,), 1.0 / clusters))
        self._at: int | None = None

    def at_step(self) -> int:
        """The steps done before this one, which it counts.

        The buffer is looked at once, also of a training that goes on: a look waits for the device.
        """
        before = int(self.steps) if self._at is None else self._at
        self.steps += 1
        self._at = before + 1
        return before

    @torch.no_grad()
    def renew(self, network: Network) -> None:
        self.network.load_state_dict(network.state_dict())
        parts = torch.split(self.get_buffer("x").to(self.share), 1024)
        self.share.copy_(torch.cat([self.assigned(part).exp() for part in parts]).mean(0))

    @torch.no_grad()
    def assigned(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        with evaluating(self.network):
            found: Tensor = self.network(x)
        return found


def sharpening(
    log_q: Float[Tensor, "B K"], before: Float[Tensor, "B K"], share: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """``KL(P || Q)``, the mean over the examples, in nats; P goes with the square of what was
    assigned ``before`` (logarithms) over the clusters' shares."""
    target = torch.log_softmax(2 * before - share.clamp_min(1e-12).log(), 1)
    return (target.exp() * (target - log_q)).sum(1).mean()
