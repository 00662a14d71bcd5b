"""What a transferability score is: how well features suit a target task, without training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Evidence:
    """Features of the labelled target examples with their targets (classes or real values).

    ``source`` and ``target`` are features of unlabelled inputs of both domains. ``made`` are
    features of training inputs whose ``factors`` are known, where a generator knows them.
    """

    features: Float[np.ndarray, "N F"]
    y: Shaped[np.ndarray, " N"]
    source: Float[np.ndarray, "M F"]
    target: Float[np.ndarray, "L F"]
    made: Float[np.ndarray, "P F"] | None = None
    factors: Int[np.ndarray, "P K"] | None = None
    factor_names: tuple[str, ...] = ()


class Score(ABC):
    """One number for features and a target; there are at least two different targets."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification"})
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, evidence: Evidence) -> float:
        """The score of the features of one layer."""


def centred(x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N F"]:
    return np.asarray(x - x.mean(0))


def principal(x: Float[np.ndarray, "N F"]) -> tuple[np.ndarray, np.ndarray]:
    """``U`` [N, R] and the squared singular values [R] of ``x``, largest first, none of them zero.

    By the smaller of the two Gram matrices: features of a convolutional layer outnumber the
    labelled examples by far.
    """
    n, dim = x.shape
    if n <= dim:
        values, left = np.linalg.eigh(x @ x.T)
    else:
        values, right = np.linalg.eigh(x.T @ x)
        left = x @ right / np.sqrt(np.maximum(values, np.finfo(float).tiny))
    kept = values > max(n, dim) * np.finfo(float).eps * max(values[-1], 0.0)
    return left[:, kept][:, ::-1], values[kept][::-1]


def coordinates(x: Float[np.ndarray, "N F"], number: int | None = None) -> np.ndarray:
    """The leading ``number`` principal coordinates (all where None) of centred features.

    Features without any variance have one coordinate, which is zero.
    """
    left, values = principal(centred(x))
    if not len(values):
        return np.zeros((len(x), 1))
    return np.asarray((left * np.sqrt(values))[:, :number])


def agreement(predicted: np.ndarray, y: Shaped[np.ndarray, " N"]) -> float:
    """The fraction of right classes, or R^2 of real values."""
    if not np.issubdtype(y.dtype, np.floating):
        return float((predicted == y).mean())
    return float(1.0 - np.square(predicted - y).sum() / np.square(y - y.mean()).sum())
