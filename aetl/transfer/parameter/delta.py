"""Feature maps are held near those of the pretrained network, the important channels most.

Li et al. (2019), DELTA, arXiv:1901.09229, equations 5 to 8, and its L2 penalty on the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.ranges import NonNegative, Size
from aetl.task.base import Task, numpy
from aetl.transfer.base import Step, TransferStrategy, View
from aetl.transfer.depth import eval_mode, layer_outputs
from aetl.transfer.network import Network


class Delta(TransferStrategy):
    """``alpha / 2`` times the weighted squared distances of every encoder layer's channels, summed.

    A channel's distance is the mean over its positions and over the labelled examples of the batch;
    the pretrained network answers in eval mode. With ``attention`` a channel's weight is the
    softmax, over its layer, of how much a linear probe's loss on the labelled targets grows when
    the channel is put to zero, measured once at the start on at most ``examples`` of them; without
    it all weigh the same. ``beta / 2 |v|^2`` is the head's. Costs two more passes through the
    encoder at each step, one of them without gradients.
    """

    def __init__(
        self,
        *,
        alpha: NonNegative,
        beta: NonNegative,
        attention: bool,
        examples: Size,
        l2: NonNegative,
    ) -> None:
        self.alpha, self.beta, self.attention = alpha, beta, attention
        self.examples, self.l2 = examples, l2

    def module(self, network: Network, task: Task, view: View) -> nn.Module | None:
        if not self.attention:
            return None
        labelled = view.examples("target_labels")
        labelled = labelled.subset(torch.arange(min(self.examples, len(labelled))))
        return Attention(loss_increases(network, task, labelled, self.l2))

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = step.streams["labelled"].x
        now = layer_outputs(step.network, x, None).values()
        start = layer_outputs(step.network, x, dict(step.initial)).values()
        uniform = [torch.tensor(1 / by_channel(a).shape[1]) for a in now]
        weights = uniform if module is None else list(module.buffers())
        maps = [
            (by_channel(a - b).square().mean(0) * weight).sum()
            for a, b, weight in zip(now, start, weights, strict=True)
        ]
        head = [parameter.square().sum() for parameter in step.network.head.parameters()]
        return self.alpha / 2 * torch.stack(maps).sum() + self.beta / 2 * torch.stack(head).sum()


class Attention(nn.Module):
    """The weights of every layer's channels, as buffers in the order of the layers."""

    def __init__(self, increases: list[Float[Tensor, " _"]]) -> None:
        super().__init__()
        for i, increase in enumerate(increases):
            self.register_buffer(f"layer_{i}", increase.softmax(0))


def by_channel(maps: Float[Tensor, "B ..."]) -> Float[Tensor, "P C"]:
    """A layer's output with its channels last: units, maps [B, C, H, W] or tokens [B, T, C]."""
    return (maps.movedim(1, -1) if maps.dim() == 4 else maps).flatten(0, -2)


@torch.no_grad()
def loss_increases(
    network: Network, task: Task, labelled: Examples, l2: float
) -> list[Float[Tensor, " _"]]:
    """For each channel of each layer, the probe's mean loss without it less that with it."""
    x = labelled.inputs(device=network.scale.device).to(network.scale)
    with eval_mode(network):
        probe = task.linear_head(l2)
        features = numpy(network.features(x))
        probe.fit(features, numpy(labelled.y), features[:, 0] * 0 + 1)

        def loss() -> float:
            found = task.predict_with(probe, numpy(network.features(x)), network.head.out_features)
            return task.risk(found, numpy(labelled.y), float(network.scale))

        whole, increases = loss(), []
        for layer, maps in layer_outputs(network, x, None).items():
            lost = []
            for channel in range(by_channel(maps).shape[1]):
                with without(layer, channel):
                    lost.append(loss() - whole)
            increases.append(torch.tensor(lost).to(x))
    return increases


@contextmanager
def without(layer: nn.Module, channel: int) -> Iterator[None]:
    """Inside, the layer gives zero in one channel."""

    def drop(module: nn.Module, inputs: object, output: Any) -> Any:
        if is_dataclass(output) and not isinstance(output, type):  # a bottleneck gives a code
            return replace(output, latent=drop(module, inputs, output.latent))  # type: ignore[attr-defined]
        kept = torch.ones_like(output)
        kept.select(1 if output.dim() == 4 else -1, channel).zero_()
        return output * kept

    handle = layer.register_forward_hook(drop)
    try:
        yield
    finally:
        handle.remove()
