"""Tokens as vectors, and back to the logits of every token."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.types import DoesNotFit, Entries


class Embedding(nn.Module):
    """A learned vector for each token, 0 for what fills up a text (number 0).

    Tokens come as floats that hold whole numbers, like all inputs of a network.
    """

    def __init__(self, tokens: int, dim: int, *, channels_first: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, dim, padding_idx=0)
        self.channels_first = channels_first

    def forward(self, x: Float[Tensor, "B L"]) -> Float[Tensor, "B ..."]:
        found: Tensor = self.table(x.long())
        return found.transpose(1, 2) if self.channels_first else found


class Logits(nn.Module):
    """The logits of every token at every place: all places' first logits, then all second ones."""

    def __init__(self, dim: int, tokens: int, *, channels_first: bool = False) -> None:
        super().__init__()
        self.project, self.channels_first = nn.Linear(dim, tokens), channels_first

    def forward(self, h: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        logits: Tensor = self.project(h.transpose(1, 2) if self.channels_first else h)
        return logits.transpose(1, 2).flatten(1)


def length_of(shape: Shape, entries: Entries, backbone: str, *, outputs: bool = False) -> int:
    """The places of a text, from the shape of an example or of the logits of all its places."""
    if len(shape) != 1 or not entries.tokens:
        raise DoesNotFit(
            f"backbone={backbone} takes tokens, and this data has examples of shape {shape} "
            "(words=tokens of text_folder and text_csv makes tokens)"
        )
    if not outputs:
        return shape[0]
    if shape[0] % entries.tokens:
        raise DoesNotFit(
            f"backbone={backbone}: gives logits of {entries.tokens} tokens; use loss=token_nll"
        )
    return shape[0] // entries.tokens
