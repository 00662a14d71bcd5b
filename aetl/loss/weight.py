"""Schedules for the weight of a loss term."""

from __future__ import annotations

from math import fmod

from aetl.loss.base import Weight
from aetl.ranges import Depth, NonNegative, Share


class WarmUp(Weight):
    """Linear from 0 to ``final`` over the first ``fraction`` of training (arXiv:1602.02282)."""

    def __init__(self, *, final: NonNegative, fraction: Share) -> None:
        self.final, self.fraction = final, fraction

    def at(self, progress: float) -> float:
        return self.final * min(1.0, progress / self.fraction)


class Cyclic(Weight):
    """``cycles`` linear rises to ``final``, each over ``rise`` of its cycle (arXiv:1903.10145)."""

    def __init__(self, *, final: NonNegative, cycles: Depth, rise: Share) -> None:
        self.final, self.cycles, self.rise = final, cycles, rise

    def at(self, progress: float) -> float:
        position = fmod(progress * self.cycles, 1.0) if progress < 1.0 else 1.0
        return self.final * min(1.0, position / self.rise)
