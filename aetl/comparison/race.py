"""Seeds where they decide: looks planned beforehand, and what each of them may say.

Looking early and often finds too much, so each look may only spend a part of the error: by the
power family of Kim and DeMets (1987, Biometrika 74), ``level t^rho`` at the share ``t`` of the
seeds. The boundaries are those of Lan and DeMets (1983, Biometrika 70) for a Brownian motion, by
the recursion of Armitage, McPherson and Rowe (1969), and are put upon p values, since with few
seeds the statistic is a t (Jennison and Turnbull 2000, section 3.3). Several arms: Holm's procedure
with a boundary for each level (Maurer and Bretz 2013, Stat. Biopharm. Res. 5).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aetl.comparison.gain import Gain
from aetl.comparison.statistics import ALPHA, t_cdf, t_quantile

Outcome = Literal["positive", "negative", "equivalent", "futile"]

_GRID = 801
"""Points of the recursion's quadrature: five digits of a boundary."""


@dataclass(frozen=True)
class Plan:
    """At how many seeds the looks are, how the error is spent, and when going on is given up."""

    looks: tuple[int, ...]
    rho: float
    futility: float
    """An arm stops when its chance to be decided in the looks that are left is below this."""
    level: float = ALPHA

    def bounds(self, arms: int = 1) -> tuple[float, ...]:
        """The p value of each look at or below which one of so many arms is decided."""
        return boundaries(self.looks, self.rho, self.level / arms)


@functools.lru_cache(maxsize=1024)
def boundaries(looks: tuple[int, ...], rho: float, level: float) -> tuple[float, ...]:
    """Two-sided p values of the looks that together spend ``level``."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import norm

    share = np.array(looks, np.float64) / looks[-1]
    spent = np.diff(level * share**rho, prepend=0.0)
    critical = [float(norm.isf(0.5 * spent[0]))]
    grid = np.linspace(-critical[0], critical[0], _GRID) * math.sqrt(share[0])
    density = norm.pdf(grid, scale=math.sqrt(share[0]))
    for k in range(1, len(looks)):
        step = math.sqrt(share[k] - share[k - 1])
        weight = density * _trapezoid(grid)

        def outside(z: float, k: int = k, g: Any = grid, w: Any = weight) -> float:
            edge = z * math.sqrt(share[k])
            tails = norm.sf((edge - g) / step) + norm.sf((edge + g) / step)  # noqa: B023
            return float((w * tails).sum() - spent[k])

        critical.append(float(brentq(outside, 0.0, 12.0, xtol=1e-10)))
        new = np.linspace(-critical[k], critical[k], _GRID) * math.sqrt(share[k])
        density = norm.pdf(new[:, None], loc=grid[None], scale=step) @ weight
        grid = new
    return tuple(float(2.0 * norm.sf(z)) for z in critical)


def _trapezoid(grid: Any) -> Any:
    import numpy as np

    weight = np.full(_GRID, float(grid[1] - grid[0]))
    weight[[0, -1]] *= 0.5
    return weight


def rejected(p_values: Mapping[str, Sequence[float]], plan: Plan) -> set[str]:
    """The arms whose gain is not zero, by their p values at the looks so far (an arm that stopped
    has fewer). ``p_values`` holds all arms that count together."""
    found: set[str] = set()
    while True:
        bounds = plan.bounds(max(1, len(p_values) - len(found)))
        new = {
            arm
            for arm, values in p_values.items()
            if arm not in found and any(p <= b for p, b in zip(values, bounds, strict=False))
        }
        if not new:
            return found
        found |= new


def equivalence_p_value(gain: Gain) -> float:
    """Two-sided, that the gain lies at the rope's end or beyond (two one-sided tests)."""
    if gain.rope is None or gain.crossed is None:
        return 1.0
    error, df = gain.crossed.error()
    room = gain.rope - abs(gain.mean)
    if room <= 0.0:
        return 1.0
    return 0.0 if error == 0.0 else 2.0 * t_cdf(-room / error, df)


def is_futile(gain: Gain, look: int, arms: int, plan: Plan) -> bool:
    """Whether an undecided arm is unlikely to be decided by any look that is left, were its gain
    and its variances as found: its conditional power is below ``plan.futility``."""
    if gain.crossed is None or plan.futility <= 0.0:
        return False
    found, now = gain.crossed, gain.seeds
    zero, ends = plan.bounds(arms), plan.bounds()
    luck = t_quantile(1.0 - plan.futility, math.inf)
    for later in range(look + 1, len(plan.looks)):
        seeds = plan.looks[later]
        # How far the mean may still move in one direction: by the seeds that are to come.
        moved = luck * found.seed_deviation * math.sqrt(max(0.0, 1.0 / now - 1.0 / seeds))
        error, df = found.error(seeds=seeds)
        if error == 0.0:
            return False
        if 2.0 * t_cdf(-(abs(gain.mean) + moved) / error, df) <= zero[later]:
            return False
        nearest = max(0.0, abs(gain.mean) - moved)
        room = -1.0 if gain.rope is None else gain.rope - nearest
        if room > 0.0 and 2.0 * t_cdf(-room / error, df) <= ends[later]:
            return False
    return True


@dataclass(frozen=True)
class Arm:
    """What is known of an arm at the looks so far."""

    p_values: tuple[float, ...] = ()
    equivalence: tuple[float, ...] = ()
    outcome: Outcome | None = None
    look: int | None = None
    """At which look (from 0 on) it was decided or given up."""


def judge(
    arms: Mapping[str, Arm], gains: Mapping[str, Gain], look: int, plan: Plan
) -> dict[str, Arm]:
    """All arms of a family after a look; ``gains`` of those that were still in the race."""
    seen = {name: _with(arm, gains.get(name)) for name, arm in arms.items()}
    differ = rejected({name: arm.p_values for name, arm in seen.items()}, plan)
    undecided = max(1, len(seen) - len(differ))
    judged = {}
    for name, arm in seen.items():
        outcome = arm.outcome
        if outcome is None and name in gains:
            outcome = _outcome(gains[name], name in differ, arm, look, undecided, plan)
        judged[name] = Arm(
            arm.p_values, arm.equivalence, outcome,
            look if outcome is not None and arm.look is None else arm.look,
        )  # fmt: skip
    return judged


def _with(arm: Arm, gain: Gain | None) -> Arm:
    if gain is None or arm.outcome is not None:
        return arm
    p_value = 1.0 if gain.p_value is None else gain.p_value
    return Arm((*arm.p_values, p_value), (*arm.equivalence, equivalence_p_value(gain)))


def _outcome(
    gain: Gain, differs: bool, arm: Arm, look: int, undecided: int, plan: Plan
) -> Outcome | None:
    if any(p <= b for p, b in zip(arm.equivalence, plan.bounds(), strict=False)):
        return "equivalent"
    if differs:
        return "positive" if gain.mean > 0.0 else "negative"
    last = look == len(plan.looks) - 1
    return "futile" if not last and is_futile(gain, look, undecided, plan) else None
