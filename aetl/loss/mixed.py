"""Squared error of numbers and cross-entropy of categories (Nazabal et al., 2020, 1807.03653)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative
from aetl.types import Entries, ExampleKind


class MixedError(LossTerm):
    """``sum_numbers (r_d - x_d)^2 + categories * sum_categories -sum_k x_k log softmax(r)_k``.

    Which columns are one category together is the table's to say; a column that is 0 or 1 alone
    (where a number was missing) has the cross-entropy of a sigmoid. Without categories this is the
    squared error. Departure: the paper's likelihoods of numbers learn their variance.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"vector"})
    unit: ClassVar[str] = "squared input units and nats"

    def __init__(
        self, entries: Entries, *, weight: NonNegative | Weight, categories: NonNegative
    ) -> None:
        super().__init__(weight=weight)
        self.on_categories, self.ranges = categories, entries.categories

    def forward(
        self, reconstruction: Float[Tensor, "B D"], x: Float[Tensor, "B D"]
    ) -> Float[Tensor, " B"]:
        error = (reconstruction - x).square()
        total = error.sum(1)
        for start, stop in self.ranges:
            logits, wanted = reconstruction[:, start:stop], x[:, start:stop]
            total = total - error[:, start:stop].sum(1)
            if stop == start + 1:
                nats = binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
            else:
                nats = -(wanted * logits.log_softmax(1)).sum(1)
            total = total + self.on_categories * nats
        return total

    def mean(self, reconstruction: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Numbers as they are, categories as probabilities."""
        parts, end = [], 0
        for start, stop in self.ranges:
            logits = reconstruction[:, start:stop]
            parts += [reconstruction[:, end:start]]
            parts += [logits.sigmoid() if stop == start + 1 else logits.softmax(1)]
            end = stop
        return torch.cat([*parts, reconstruction[:, end:]], 1)
