"""What an arm gains over its twin: mean, intervals, p value and verdict, from its runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from aetl.comparison.crossed import Crossed, crossed
from aetl.comparison.examples import Unusable, Values, difference, values_of
from aetl.comparison.run import Run
from aetl.comparison.statistics import (
    ALPHA,
    MIN_SEEDS,
    Interval,
    deviation,
    interval,
    paired_p_value,
    t_quantile,
)
from aetl.comparison.verdict import (
    Verdict,
    better_on_a_new_seed,
    effect_size,
    more_examples,
    more_seeds,
    verdict,
)

logger = logging.getLogger(__name__)

SEEDS, BOTH = "seeds", "seeds and examples"

Read = Values | str
"""The values of test examples, or why there are none."""


@dataclass(frozen=True)
class Gain:
    """Over the seeds of a row; positive is better. ``crossed`` is None where the values of the test
    examples are missing, for the reason in ``lacking``: then all is over seeds alone."""

    mean: float
    seeds: int
    over_seeds: Interval
    interval: Interval
    p_value: float | None
    verdict: Verdict
    rope: float | None
    deviation: float | None
    """Standard deviation of the gain over seeds."""
    crossed: Crossed | None = field(repr=False)
    lacking: str | None

    @property
    def over(self) -> str:
        return SEEDS if self.crossed is None else BOTH

    @cached_property
    def more_seeds(self) -> int | None:
        """How many further seeds would decide; None where it is decided, or none would."""
        if self.crossed is None or self.verdict != "undecided":
            return None
        return more_seeds(self.crossed, self.mean, self.rope)

    @cached_property
    def more_units(self) -> int | None:
        """How many further test examples (or groups of them) would, with these seeds."""
        if self.crossed is None or self.verdict != "undecided":
            return None
        return more_examples(self.crossed, self.mean, self.rope)

    @property
    def best_reach(self) -> float | None:
        """Half the width that the interval keeps with any number of seeds: the test set's part."""
        if self.crossed is None:
            return None
        return t_quantile(1.0 - 0.5 * ALPHA, math.inf) * self.crossed.least_error

    @property
    def better_on_a_new_seed(self) -> float | None:
        if self.seeds < MIN_SEEDS:
            return None
        return better_on_a_new_seed(self.mean, self.deviation, self.seeds)

    @property
    def effect_size(self) -> float | None:
        return effect_size(self.mean, self.deviation, self.seeds)


def read_values(runs: Sequence[Run], metric: str) -> Read:
    """The values of the runs' test examples, or why they are not to be had."""
    seeds = by_seed(runs)
    if len(seeds) < 2:
        return "one seed"
    if not any(run.record.get("examples") for run in runs):
        return "runs without examples.safetensors"
    try:
        return values_of([[(run.folder, run.record) for run in seed] for seed in seeds], metric)
    except Unusable as error:
        return str(error)


def gain_of(
    runs: Sequence[Run], metric: str, read: Read, rope: float | None, of_itself: bool
) -> Gain | None:
    """``of_itself``: the runs are the twin's own, whose gain is nothing."""
    seeds = [_gain(seed, metric, of_itself) for seed in by_seed(runs)]
    gains = [gain for gain in seeds if gain is not None]
    if not gains:
        return None
    if rope is None:
        rope = _noted_rope(runs, metric)
    over_seeds, found, p_value = interval(gains), None, paired_p_value(gains)
    both = over_seeds
    spread = deviation(gains)
    if not of_itself and isinstance(read, Values) and len(gains) == len(seeds):
        found = crossed(read.gains * runs[0].better(metric))
        both = found.interval(over_seeds.mean)
        p_value, spread = found.p_value(over_seeds.mean), found.seed_deviation
    elif not of_itself and len(gains) > 1 and min(gains) == max(gains):
        both = Interval(both.mean, None, None)  # equal gains do not say how they vary
    return Gain(
        mean=over_seeds.mean,
        seeds=len(gains),
        over_seeds=over_seeds,
        interval=both,
        p_value=p_value,
        verdict=verdict(both, len(gains), 0.0 if of_itself else rope),
        rope=rope,
        deviation=spread,
        crossed=found,
        lacking=None if found or of_itself else (read if isinstance(read, str) else "no gain"),
    )


def better_p_value(
    runs: Sequence[Run], read: Read, control: tuple[Sequence[Run], Read] | None, metric: str
) -> float | None:
    """Two-sided p that a control and an arm are alike, over the seeds that both have; ``control``
    None is the arm's own twin. None with fewer seeds than make a verdict."""
    own = {seed[0].seed: mean_over_folds(seed, metric) for seed in by_seed(runs)}
    if control is None:
        gains = [g for seed in by_seed(runs) if (g := _gain(seed, metric, False)) is not None]
        if len(gains) < MIN_SEEDS:
            return None
        if isinstance(read, Values) and len(gains) == len(own):
            return crossed(read.gains).p_value(_mean(gains))
        return paired_p_value(gains)
    theirs = {seed[0].seed: mean_over_folds(seed, metric) for seed in by_seed(control[0])}
    shared = sorted(own.keys() & theirs.keys())
    if len(shared) < MIN_SEEDS:
        return None
    leads = [theirs[seed] - own[seed] for seed in shared]
    other = control[1]
    if isinstance(read, Values) and isinstance(other, Values) and read.key == other.key:
        mine, others = (
            [place for place, s in enumerate(of) if s in shared] for of in (own, theirs)
        )
        found = crossed(difference(other.arm[others], read.arm[mine]))
        return found.p_value(_mean(leads))
    return paired_p_value(leads)


def by_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs of each seed, one for each fold, in the order of seeds and folds."""
    found: dict[int, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.fold)):
        found.setdefault(run.seed, []).append(run)
    return list(found.values())


def whole_seeds(runs: Iterable[Run]) -> list[Run]:
    """The runs of the seeds that have all folds which any seed has: a mean over fewer of them would
    be of another test set. All, where no seed has all (each then stands for itself)."""
    seeds = by_seed(runs)
    folds = {run.fold for seed in seeds for run in seed}
    whole = [seed for seed in seeds if {run.fold for run in seed} == folds]
    return [run for seed in (whole or seeds) for run in seed]


def mean_over_folds(seed: Sequence[Run], metric: str) -> float:
    return seed[0].scores[metric] if len(seed) == 1 else _mean([r.scores[metric] for r in seed])


def _gain(seed: Sequence[Run], metric: str, of_itself: bool) -> float | None:
    """Of a seed's runs the mean; the twin is its own."""
    if of_itself:
        return 0.0
    gains = [gain for run in seed if (gain := run.gain(metric)) is not None]
    return _mean(gains) if len(gains) == len(seed) and all(map(math.isfinite, gains)) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _noted_rope(runs: Sequence[Run], metric: str) -> float | None:
    noted = runs[0].record.get("rope")
    value = noted.get(metric) if isinstance(noted, dict) else None
    return float(value) if isinstance(value, int | float) else None
