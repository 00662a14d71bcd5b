"""The values that flow between the stages, and the legend of the shapes.

Shapes are jaxtyping strings. The legend of the whole package:
``B`` batch, ``N`` data set, ``C H W`` channels, height, width, ``D`` input dimension,
``F`` features (what transfer sees), ``Z`` latent, ``K`` classes; ``...`` is the shape of one
example.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

ExampleKind = Literal["image", "field", "series", "vector", "tokens"]
"""What an example is: uint8 C H W, float C H W, float C L, float D, int L."""
NUMBERS: Final[frozenset[ExampleKind]] = frozenset({"image", "field", "series", "vector"})
PICTURES: Final[frozenset[ExampleKind]] = frozenset({"image", "field"})
Kind = Literal["classification", "regression", "multilabel"]
"""What is asked of an example: one class, one number, or any of several labels."""


class UserError(Exception):
    """A mistake of the user's: the message is the one line that the command line prints."""

    of_user = True  # known by this where loading torch for its name would take too long


class DoesNotFit(UserError):
    """Parts that are right by themselves do not go together.

    Alone it is a mistake like any other; a grid leaves such a job out and goes on.
    """

    ends_as: Final = "refused"


class Batch(NamedTuple):
    """Some examples (a NamedTuple, since Lightning refuses frozen dataclasses as batches)."""

    x: Float[Tensor, "B ..."]
    y: Tensor
    index: Int[Tensor, " B"]  # type: ignore[assignment]  # hides tuple.index, which nobody asks
    weight: Float[Tensor, " B"]
    mask: Bool[Tensor, "B ..."] | None = None
    """What is there of ``x``, where something is absent (and 0)."""


@dataclass(frozen=True)
class Code:
    """What a bottleneck makes of the encoder's output; variants add fields in subclasses."""

    latent: Float[Tensor, "B ..."]


@dataclass(frozen=True)
class Output:
    """What an autoencoder makes of a batch.

    ``reconstruction`` is the decoder's raw output (logits under a Bernoulli likelihood): the
    reconstruction term of the loss knows how to map it to the data's own scale.
    """

    reconstruction: Float[Tensor, "B ..."]
    corrupted: Float[Tensor, "B ..."]
    code: Code

    @property
    def latent(self) -> Float[Tensor, "B ..."]:
        return self.code.latent


def field_values(*values: object) -> dict[str, object]:
    """The fields of several values by name, as a loss term asks for them."""
    found: dict[str, object] = {}
    for value in values:
        kind: Any = type(value)
        found |= {name: getattr(value, name) for name in _names_of(kind)}
    return found


@cache
def _names_of(kind: Any) -> tuple[str, ...]:
    return Batch._fields if issubclass(kind, Batch) else tuple(f.name for f in fields(kind))


class Pruned(Exception):
    """The search that this run belongs to has given it up; nothing went wrong."""

    ends_as: Final = "pruned"


@dataclass(frozen=True)
class Prediction:
    """Predictions for a data set: classes with probabilities, or values without."""

    value: np.ndarray
    probability: np.ndarray | None
