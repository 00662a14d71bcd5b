"""What a head leaves open is chosen by cross-validation on the labels that it may learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import nn

from aetl.head.base import Estimator, Head, Model, State
from aetl.head.classifier import Classifier
from aetl.head.fitted import below, joined
from aetl.head.graph import Standardised
from aetl.types import Kind

EXAMPLES = 2000
"""At most so many examples choose (evenly over the classes); all of them are fitted on."""
FEW = 500
_BRIEF: ContextVar[bool] = ContextVar("heads are fitted to few examples", default=False)


@contextmanager
def briefly() -> Iterator[None]:
    """Within, heads are fitted to ``FEW`` examples at most: to see that they can be."""
    before = _BRIEF.set(True)
    try:
        yield
    finally:
        _BRIEF.reset(before)


class Chosen(Estimator):
    """The best of a head's options, fitted to everything.

    Best is the highest weighted accuracy (of all labels, or R^2) on examples held out, and of
    equally accurate options the one of the least error of its probabilities (Brier's score); of
    several that are equal in both, the first. Standardised features have to be better than plain
    ones by more than a standard error. The folds follow from the targets alone. ``told`` is the
    choice for the record.
    """

    def __init__(self, head: Head, kind: Kind) -> None:
        self.options, self.kind = head.options(kind), kind
        self.balanced, self.folds = head.balanced, head.folds
        self.told: dict[str, Any] = {}

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Chosen:
        if _BRIEF.get():
            x, y, weight = (array[_some(y, weight, FEW)] for array in (x, y, weight))
        if self.balanced and self.kind == "classification":
            weight = balanced(y, weight)
        self.option, score = 0, None
        if len(self.options) > 1 and choosable(y[weight > 0]):
            judged = cross_validated(self.options, self.kind, self.folds, x, y, weight)
            self.option = choice(self.options, judged)
            score = judged.score(self.option, self.kind)
        option = self._build()
        center, spread = moments(x, weight) if option.settings["scale"] == "standard" else NEUTRAL
        self.center, self.spread = center, spread
        self.model.fit((x - center) / spread, y, weight)
        self.told = dict(option.settings) | {
            "options": len(self.options),
            "folds": self.folds if score is not None else None,
            "score": score,
            "labels": int((weight > 0).sum()),
            "at_end": score is not None and at_end(self.options, option),
        }
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_proba((x - self.center) / self.spread))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict((x - self.center) / self.spread))

    def graph(self, output_dim: int) -> nn.Module | None:
        found = self.model.graph(output_dim)
        return None if found is None else Standardised(self.center, self.spread, found)

    def state(self) -> dict[str, np.ndarray]:
        own = {"option": np.array(self.option), "center": self.center, "spread": self.spread}
        return own | joined({"model": self.model.state()})

    def load_state(self, state: State) -> Chosen:
        self.option = int(state["option"])
        self.center, self.spread = state["center"], state["spread"]
        self._build()
        self.model.load_state(below("model", state))
        return self

    @property
    def classes_(self) -> np.ndarray:  # type: ignore[override]
        return np.asarray(self.model.classes_)

    def _build(self) -> Model:
        option = self.options[self.option]
        self.model = option.make()
        return option


def at_end(options: Sequence[Model], chosen: Model) -> bool:
    """Whether its strength is an end of the range: a further one might have been better."""
    same = ("head", "scale", "kernel")
    range_ = {
        o.settings["strength"]
        for o in options
        if "strength" in o.settings
        and all(o.settings.get(key) == chosen.settings.get(key) for key in same)
    }
    return len(range_) > 1 and chosen.settings["strength"] in (min(range_), max(range_))


NEUTRAL = np.zeros(1), np.ones(1)


def moments(
    x: Float[np.ndarray, "N F"], weight: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, " F"]]:
    """Mean and deviation of each feature over the examples of some weight, 1 where it is 0."""
    known = x[weight > 0]
    spread = known.std(0)
    # Rounding leaves a constant feature a deviation of its last digit.
    constant = spread <= 10 * np.finfo(np.float64).eps * np.abs(known).max(0)
    return known.mean(0), np.where(constant, 1.0, spread)


def balanced(
    y: Shaped[np.ndarray, " N"], weight: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """The weights with an equal sum for each class, and the sum that they had."""
    labels, row = np.unique(y, return_inverse=True)
    sums = np.bincount(row, weight, len(labels))
    present = max(1, int((sums > 0).sum()))
    factor = weight.sum() / present / np.where(sums > 0, sums, 1.0)
    return np.asarray(weight * factor[row])


def choosable(y: Shaped[np.ndarray, "N ..."]) -> bool:
    """Whether examples can be held out: at least two targets, one of them more than once."""
    number = len(np.unique(y, axis=0))
    return len(y) > 2 and number > 1 and (number < len(y) or np.issubdtype(y.dtype, np.floating))


def dealt(y: Shaped[np.ndarray, "N ..."], number: int) -> Int[np.ndarray, " N"]:
    """A fold for each example: sorted by target and dealt out in turns, so every fold has all."""
    order = np.argsort(y, kind="stable") if y.ndim == 1 else np.lexsort(y.T[::-1])
    fold = np.empty(len(y), dtype=int)
    fold[order] = np.arange(len(y)) % min(number, len(y))
    return fold


class Judged(NamedTuple):
    """Each option's answers for examples that it was not fitted on."""

    right: Float[np.ndarray, "O N"]
    """1 or 0, the share of several labels that are right, or minus the squared error."""
    error: Float[np.ndarray, "O N"]
    """Brier's score, or the squared error."""
    y: Shaped[np.ndarray, "N ..."]
    weight: Float[np.ndarray, " N"]

    def mean(self, values: Float[np.ndarray, "... N"]) -> Any:
        return (values * self.weight).sum(-1) / self.weight.sum()

    def best(self, among: Sequence[int]) -> int:
        # Fractions of examples are equal where they are so but for rounding.
        right, error = np.round(self.mean(self.right), 12), self.mean(self.error)
        return max(among, key=lambda i: (right[i], -error[i]))

    def clearly_better(self, one: int, other: int) -> bool:
        """By more than one standard error of the mean difference (with weights: Cochran's)."""
        lead = self.right[one] - self.right[other]
        mean, share = self.mean(lead), self.weight / self.weight.sum()
        return bool(mean > np.sqrt(np.square(share * (lead - mean)).sum()))

    def score(self, option: int, kind: Kind) -> float:
        """Accuracy (of several labels: over all of them), or R^2."""
        found = float(self.mean(self.right[option]))
        if kind != "regression":
            return found
        variance = float(self.mean(np.square(self.y - self.mean(self.y)))) or 1.0
        return 1.0 + found / variance


def choice(options: Sequence[Model], judged: Judged) -> int:
    """The best option, but with features as they are unless scaled ones are clearly better.

    Few labels cannot tell the two apart, and to standardise is to change what is near to what.
    """
    best = judged.best(range(len(options)))
    told = options[best].settings
    plain = [i for i, o in enumerate(options)
             if o.settings["head"] == told["head"] and o.settings["scale"] == "none"]  # fmt: skip
    if told["scale"] == "none" or not plain:
        return best
    rival = judged.best(plain)
    return best if judged.clearly_better(best, rival) else rival


def cross_validated(
    options: Sequence[Model], kind: Kind, folds: int, x: np.ndarray, y: np.ndarray,
    weight: np.ndarray,
) -> Judged:  # fmt: skip
    """Every option on every fold that it was not fitted on."""
    x, y, weight = (array[_some(y, weight, EXAMPLES)] for array in (x, y, weight))
    fold = dealt(y, folds)
    right, error = np.zeros((2, len(options), len(x)))
    for number in np.unique(fold):
        out = fold == number
        for scale in dict.fromkeys(option.settings["scale"] for option in options):
            center, spread = moments(x[~out], weight[~out]) if scale == "standard" else NEUTRAL
            rows, new = compressed((x[~out] - center) / spread, (x[out] - center) / spread)
            near: Any = None
            for place, option in enumerate(options):
                if option.settings["scale"] == scale:
                    near = _fitted(option.make(), near, rows, y[~out], weight[~out])
                    right[place, out], error[place, out] = answers(near, kind, new, y[out])
    return Judged(right, error, y, weight)


def _some(y: np.ndarray, weight: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows of some weight, a number of each target as of all."""
    known = np.flatnonzero(weight > 0)
    if len(known) <= most:
        return known
    part = dealt(y[known], -(-len(known) // most))
    return np.asarray(known[part == 0])


def _fitted(model: Any, near: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    if isinstance(model, Classifier):
        return model.fit(x, y, weight, near if isinstance(near, Classifier) else None)
    return model.fit(x, y, weight)


def answers(
    model: Any, kind: Kind, x: np.ndarray, y: np.ndarray
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How right each example is answered, and the error."""
    if kind == "regression":
        error = np.square(model.predict(x) - y)
        return -error, error
    found = model.predict_proba(x)
    if kind == "multilabel":
        return ((found >= 0.5) == (y == 1)).mean(1), np.square(found - y).mean(1)
    wanted = y[:, None] == model.classes_
    right = (model.classes_[found.argmax(1)] == y).astype(np.float64)
    # A class that was never seen has the probability 0.
    return right, np.square(found - wanted).sum(1) + (1.0 - wanted.sum(1))


def compressed(
    x: Float[np.ndarray, "N F"], new: Float[np.ndarray, "n F"]
) -> tuple[Float[np.ndarray, "N R"], Float[np.ndarray, "n R"]]:
    """Fewer coordinates in which all inner products and distances are the same.

    Those in the span of ``x``, and for ``new`` the distance from it as one more. Worth it where
    there are more features than examples: every option is then fitted in fewer dimensions.
    """
    if x.shape[1] <= len(x):
        return x, new
    values, vectors = np.linalg.eigh(x @ x.T)
    kept = values > len(x) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    root = np.sqrt(values[kept])
    inside = (new @ x.T) @ (vectors[:, kept] / root)
    left = np.square(new).sum(1) - np.square(inside).sum(1)
    rows = np.concatenate([vectors[:, kept] * root, np.zeros((len(x), 1))], 1)
    return rows, np.concatenate([inside, np.sqrt(np.maximum(left, 0.0))[:, None]], 1)
