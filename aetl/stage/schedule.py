"""Schedules of the learning rate, as a factor over the fraction of training that is done."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated

from annotated_types import Interval
from typing_extensions import Doc

from aetl.ranges import Fraction, NonNegative


class Schedule(ABC):
    """The factor on the base rate."""

    @abstractmethod
    def at(self, progress: float) -> float:
        """The factor after the fraction ``progress`` in [0, 1] of the steps."""


class Constant(Schedule):
    """Always 1."""

    def at(self, progress: float) -> float:
        return 1.0


class Cosine(Schedule):
    """Linear warm-up over ``warmup``, then half a cosine down to ``floor`` (arXiv:1608.03983)."""

    def __init__(
        self,
        *,
        warmup: Annotated[float, Interval(ge=0, lt=1), Doc("a fraction of the steps, not epochs")],
        floor: Fraction,
    ) -> None:
        self.warmup, self.floor = warmup, floor

    def at(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        rest = (min(progress, 1.0) - self.warmup) / (1.0 - self.warmup)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * rest))


class InverseDecay(Schedule):
    """``(1 + alpha p)^-beta``: with 10 and 0.75 that of DANN (arXiv:1505.07818, section 5.2.2)."""

    def __init__(self, *, alpha: NonNegative, beta: NonNegative) -> None:
        self.alpha, self.beta = alpha, beta

    def at(self, progress: float) -> float:
        return float((1.0 + self.alpha * progress) ** -self.beta)
