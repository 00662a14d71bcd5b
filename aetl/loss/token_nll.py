"""Cross-entropy of the tokens of a text."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative
from aetl.types import DoesNotFit, Entries, ExampleKind


class TokenNLL(LossTerm):
    """``-sum_l log softmax(reconstruction_l)[x_l]`` over the places of a text that hold a token.

    What fills up a text (number 0) counts nothing. The mean is the likeliest token of each place.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"tokens"})
    unit: ClassVar[str] = "nats"
    discrete: ClassVar[bool] = True

    def __init__(self, entries: Entries, *, weight: NonNegative | Weight) -> None:
        super().__init__(weight=weight)
        if not entries.tokens:
            raise DoesNotFit("loss=token_nll takes tokens, and this data has none")
        self.outputs = self.tokens = entries.tokens

    def forward(
        self, reconstruction: Float[Tensor, "B D"], x: Float[Tensor, "B L"]
    ) -> Float[Tensor, " B"]:
        logits = self._logits(reconstruction)
        return cross_entropy(logits, x.long(), ignore_index=0, reduction="none").sum(1)

    def mean(self, reconstruction: Float[Tensor, "B D"]) -> Float[Tensor, "B L"]:
        return self._logits(reconstruction).argmax(1).to(reconstruction.dtype)

    def _logits(self, reconstruction: Float[Tensor, "B D"]) -> Float[Tensor, "B K L"]:
        return reconstruction.view(len(reconstruction), self.tokens, -1)
