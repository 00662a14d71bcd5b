"""Strategies that exist to be watched."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.transfer.base import Group, Part, Step, Stream, TransferStrategy, View
from aetl.transfer.network import Network


class HeadOnly(TransferStrategy):
    """Trains the head by gradient over a frozen encoder."""

    def groups(self, network: Network) -> list[Group]:
        return [Group(list(network.head.parameters()), 1.0)]


class Greedy(TransferStrategy):
    """Reaches for the source's labels without declaring them."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_inputs", "target_labels"})

    def weigh(self, view: View) -> Float[Tensor, " N"] | None:
        return torch.ones(len(view.examples("source_labels")))


class Watcher(TransferStrategy):
    """Notes what it is given, and declares everything but the source's labels."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_inputs", "target_inputs", "target_labels"})
    seen: ClassVar[dict[str, Examples]] = {}
    streams: ClassVar[list[dict[str, Stream]]] = []

    def weigh(self, view: View) -> None:
        for part in self.uses:
            Watcher.seen[part] = view.examples(part)

    def penalty(self, step: Step, module: nn.Module | None) -> None:
        Watcher.streams.append(dict(step.streams))


class Blind(Watcher):
    """Declares the target's inputs alone."""

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs"})


class Both(TransferStrategy):
    """Trains on both domains' labels, the sources weighted 1, 2, 3, 1, 2, 3, ..."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_inputs", "source_labels", "target_labels"})

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        return torch.arange(len(view.examples("source_inputs"))) % 3 + 1.0


class Twice(TransferStrategy):
    """Doubles the weight of the first half of the source."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_inputs"})

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        n = len(view.examples("source_inputs"))
        return torch.where(torch.arange(n) < n // 2, 2.0, 1.0)


class Weightless(TransferStrategy):
    """Adds a penalty that pulls the network back to where it started."""

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        terms = [
            (p - step.initial[name]).square().sum() for name, p in step.network.named_parameters()
        ]
        return 0.5 * torch.stack(terms).sum()


class Oracle(TransferStrategy):
    """The exact ratio of N(``target``, 1) to N(``source``, 1), both of the first coordinate."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_inputs", "source_labels", "target_labels"})

    def __init__(self, *, source: float, target: float) -> None:
        self.source, self.target = source, target

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        x = view.examples("source_inputs").inputs()[:, 0]
        middle = (self.target + self.source) / 2
        return ((self.target - self.source) * (x - middle)).exp()
