"""The values that flow between the stages, and the legend of the shapes.

Shapes are jaxtyping strings. The legend of the whole package:
``B`` batch, ``N`` data set, ``C H W`` channels, height, width, ``D`` input dimension,
``F`` features (what transfer sees), ``Z`` latent, ``K`` classes; ``...`` is the shape of one
example.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ExampleKind = Literal["image", "field", "series", "vector", "tokens"]
"""What an example is: uint8 C H W, float C H W, float C L, float D, int L."""
NUMBERS: Final[frozenset[ExampleKind]] = frozenset({"image", "field", "series", "vector"})
EVERY: Final[frozenset[ExampleKind]] = NUMBERS | {"tokens"}
PICTURES: Final[frozenset[ExampleKind]] = frozenset({"image", "field"})
Kind = Literal[
    "classification", "regression", "multilabel",
    "anomaly", "clustering", "reconstruction", "density", "retrieval",
]  # fmt: skip
"""What is asked of an example: one class, one number, any of several labels; how strange it is, to
which group it belongs, what it looks like, how likely it is, what it is like."""
SUPERVISED: Final[frozenset[Kind]] = frozenset({"classification", "regression", "multilabel"})
"""Tasks with a head that is trained on labels."""
DECODED: Final[frozenset[Kind]] = frozenset({"anomaly", "reconstruction", "density"})
"""Tasks that a decoder answers: networks train on the objective of pretraining."""
FROZEN: Final[frozenset[Kind]] = frozenset({"anomaly", "clustering", "retrieval"})
"""Tasks without labels that a head in closed form answers on any features."""


class UserError(Exception):
    """A mistake of the user's: the message is the one line that the command line prints."""

    of_user = True  # known by this where loading torch for its name would take too long


class DoesNotFit(UserError):
    """Parts that are right by themselves do not go together.

    Alone it is a mistake like any other; a grid leaves such a job out and goes on.
    """

    ends_as: Final = "refused"


@dataclass(frozen=True)
class Entries:
    """What the entries of an example stand for, where its kind does not say.

    ``categories`` are the ranges ``[start, stop)`` of the columns that are one category together:
    one of them is 1 (the last one where nobody knows which), the others 0; a range of one column
    is 0 or 1. ``marks`` pair a column of numbers with the one that is 1 where it was absent.
    ``tokens`` is how many different ones there are.
    """

    categories: tuple[tuple[int, int], ...] = ()
    marks: tuple[tuple[int, int], ...] = ()
    tokens: int = 0

    def first(self, width: int) -> list[int]:
        """For each of ``width`` columns the first one of the cell that it belongs to."""
        first = list(range(width))
        for start, stop in self.categories:
            first[start:stop] = [start] * (stop - start)
        for number, mark in self.marks:
            first[mark] = number
        return first

    def present(self, x: Tensor) -> Tensor | None:
        """Which entries of some examples were there, where any may not have been."""
        unknown = [(start, stop) for start, stop in self.categories if stop > start + 1]
        if not (self.marks or unknown):
            return None
        there = torch.ones_like(x, dtype=torch.bool)
        for number, mark in self.marks:
            there[:, number] = x[:, mark] < 0.5
        for start, stop in unknown:
            there[:, start:stop] = x[:, stop - 1 : stop] < 0.5
        return there

    def as_dict(self) -> dict[str, Any]:
        return {"categories": self.categories, "marks": self.marks, "tokens": self.tokens}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Entries:
        pairs = {name: tuple((a, b) for a, b in plain[name]) for name in ("categories", "marks")}
        return Entries(**pairs, tokens=plain["tokens"])


PLAIN: Final = Entries()
"""Each number for itself."""


def told(part: Any, entries: Entries) -> Any:
    """A part of a config with all below it; whose constructor begins with ``entries`` is built."""
    if not isinstance(part, partial):
        return part
    below = {name: told(value, entries) for name, value in part.keywords.items()}
    first = next(iter(inspect.signature(part.func).parameters), None)
    if first == "entries":
        return part.func(entries, *part.args, **below)
    return partial(part.func, *part.args, **below)


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
    """Predictions for a data set: classes with probabilities, or values without.

    ``parts`` are further numbers of each example, by names that the task gives.
    """

    value: np.ndarray
    probability: np.ndarray | None
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)

    def subset(self, kept: np.ndarray) -> Prediction:
        probability = None if self.probability is None else self.probability[kept]
        parts = {name: values[kept] for name, values in self.parts.items()}
        return Prediction(self.value[kept], probability, parts)

    def arrays(self) -> dict[str, np.ndarray]:
        """As a run keeps them in its ``predictions.npz``."""
        found = {"prediction": self.value}
        if self.probability is not None:
            found["probability"] = self.probability.astype(np.float32)
        return found | {f"{PART}{name}": values for name, values in self.parts.items()}

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> Prediction:
        """What ``arrays`` gave, from among others."""
        parts = {n.removeprefix(PART): a for n, a in arrays.items() if n.startswith(PART)}
        return Prediction(arrays["prediction"], arrays.get("probability"), parts)


PART: Final = "part."
"""Before the name of a part in a file."""
