"""Races among simulated arms, all repetitions at once: family-wise error and seeds spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from aetl.comparison.crossed import crossed_components
from aetl.comparison.race import Plan


@dataclass(frozen=True)
class Raced:
    """``decided`` [repetitions, arms]: the look, or the number of looks where none decided."""

    decided: np.ndarray
    plan: Plan

    @property
    def family_wise(self) -> float:
        """How often at least one arm was decided."""
        return float((self.decided < len(self.plan.looks)).any(1).mean())


def races(
    repetitions: int, arms: int, plan: Plan, *, examples: int = 120, seed_sd: float = 0.05,
    example_sd: float = 0.3, lifts: np.ndarray | None = None, seed: int = 0,
) -> Raced:  # fmt: skip
    """Arms that gain ``lifts`` (in standard deviations of the difficulty; by default nothing)."""
    random = np.random.default_rng(seed)
    p_values = np.empty((len(plan.looks), repetitions, arms))
    lifts = np.zeros(arms) if lifts is None else lifts
    for start in range(0, repetitions, 200):
        part = slice(start, min(start + 200, repetitions))
        number = part.stop - part.start
        shape = (number, plan.looks[-1], examples)
        # One twin and one test set for all arms of a repetition, as in a sweep.
        difficulty = random.normal(1.0, 1.0, (number, 1, examples)).astype(np.float32)
        twin = _right(random, difficulty, shape, seed_sd, example_sd, 0.0)
        for arm, lift in enumerate(lifts):
            gains = _right(random, difficulty, shape, seed_sd, example_sd, lift) - twin
            for look, seeds in enumerate(plan.looks):
                p_values[look, part, arm] = _p_values(gains[:, :seeds])
    return Raced(_decided(p_values, plan), plan)


def _right(
    random: np.random.Generator, difficulty: np.ndarray, shape: tuple[int, ...], seed_sd: float,
    example_sd: float, lift: float,
) -> np.ndarray:  # fmt: skip
    number, seeds, examples = shape
    own = random.normal(0.0, example_sd, (number, 1, examples)).astype(np.float32)
    level = random.normal(lift, seed_sd, (number, seeds, 1)).astype(np.float32)
    noise = random.standard_normal(shape, dtype=np.float32) * np.float32(0.7)
    return (difficulty + own + level + noise > 0).astype(np.float32)


def _p_values(gains: np.ndarray) -> np.ndarray:
    _, S, n = gains.shape
    found = crossed_components(gains)
    ms, excess = n * found["of_seeds"] + found["of_rest"], S * found["of_units"]
    df = np.minimum((S - 1) * ((ms + excess) / ms) ** 2, n - 1)
    return np.asarray(2 * stats.t.sf(np.abs(found["mean"]) / np.sqrt((ms + excess) / (S * n)), df))


def _decided(p_values: np.ndarray, plan: Plan) -> np.ndarray:
    """Holm's procedure at every look, written anew: of the arms that are left, each at the level of
    so many (``aetl.comparison.race.rejected`` does one family at a time)."""
    looks, repetitions, arms = p_values.shape
    bounds = np.array([plan.bounds(number) for number in range(1, arms + 1)])
    decided = np.full((repetitions, arms), looks)
    for look in range(looks):
        for _ in range(arms):
            left = np.maximum((decided == looks).sum(1), 1)
            limit = bounds[left - 1][:, : look + 1].T[:, :, None]
            new = (p_values[: look + 1] <= limit).any(0) & (decided == looks)
            if not new.any():
                break
            decided[new] = look
    return decided
