"""Strengths of a corruption that change over training (Geras and Sutton, 2015, arXiv:1406.3269).

Scheduled denoising: noise that starts strong and weakens makes the features coarse first, then
fine. What is done of training comes with the source of noise, so nothing has to be remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from aetl.ranges import Fraction, NonNegative
from aetl.rng import Rng
from aetl.types import UserError


class Strength(ABC):
    """A strength that follows the progress of training."""

    @abstractmethod
    def at(self, progress: float) -> float:
        """The strength after the fraction ``progress`` in [0, 1] of the steps."""


class Ramp(Strength):
    """Linear from ``start`` to ``end`` over the first ``fraction`` of training, then ``end``."""

    def __init__(self, *, start: NonNegative, end: NonNegative, fraction: Fraction) -> None:
        self.start, self.end, self.fraction = start, end, fraction

    def at(self, progress: float) -> float:
        done = min(1.0, progress / self.fraction) if self.fraction > 0 else 1.0
        return self.start + (self.end - self.start) * done


def share(value: float | Strength) -> float | Strength:
    """A strength that is a fraction, at the start, at the end and between."""
    if isinstance(value, Strength):
        for progress in (0.0, 0.5, 1.0):
            if not 0.0 <= value.at(progress) <= 1.0:
                raise UserError(
                    f"corruption.fraction: is {value.at(progress):g} after {progress:.0%} of the "
                    "training; expected 0 to 1 from its start to its end"
                )
    return value


def strength(value: float | Strength, rng: Rng) -> float:
    """The number that holds at the moment of ``rng``."""
    return value.at(rng.progress) if isinstance(value, Strength) else value
