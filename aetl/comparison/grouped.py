"""``aetl compare --by KEY,...``: the score over any keys of the config, all else averaged.

Groups are compared on what they share: a cell is all that else differs between the runs (pair,
arm, budget, what their command lines chose), and a cell counts where every group has it, a seed
where it has all these cells. What is left out for that is told; so is what differs between the
groups besides the keys. Gains over different twins are never pooled.

Within a seed the cells are averaged, and so is what they say of each test example: the interval of
a gain is over seeds and test examples, those of several test sets being strata of equal weight for
each cell. Where the examples' values are missing it is over seeds alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aetl.comparison.crossed import crossed
from aetl.comparison.gain import BOTH, SEEDS, read_values
from aetl.comparison.run import Run
from aetl.comparison.search import SHOWN_AS_ARMS, overrides_of
from aetl.comparison.sources import changed
from aetl.comparison.statistics import Interval, interval
from aetl.comparison.verdict import Verdict, verdict
from aetl.config import ConfigError, nearest

NAMES = ("source", "target", "autoencoder", "loss", "transfer", "budget", "selector", "seed")
"""Keys that are the record's own names; any other is a dotted key of the config."""

KEYS = ("runs", "seeds", "mean", "ci_low", "ci_high", "gain_mean", "gain_ci_low", "gain_ci_high",
        "interval_over", "verdict")  # fmt: skip

_FACTORS = ("source", "target", "autoencoder", "loss", "transfer", "budget", "selector", "fold")
_CHOSEN_WHOLE = ("experiment", "paper", "debug", "sweep")
_SHOWN = 3

Key = tuple[Any, ...]
"""A group: the values of the keys, and the metric."""
Cell = tuple[tuple[str, Any], ...]
"""What else there is to choose, by name."""


@dataclass(frozen=True)
class GroupRow:
    """The runs that agree in the keys. Gains are turned so that positive is better."""

    group: dict[str, Any]
    metric: str
    runs: int
    seeds: int
    score: Interval
    gain: Interval | None
    over: str | None
    """What the gain's interval is over."""
    verdict: Verdict
    changed: tuple[str, ...] = ()
    """What of the code is not the same in all runs."""

    def values(self) -> dict[str, Any]:
        gain = self.gain or Interval(math.nan, None, None)
        mean = None if self.gain is None else gain.mean
        numbers = (self.runs, self.seeds, self.score.mean, self.score.low, self.score.high)
        found = (*numbers, mean, gain.low, gain.high, self.over, self.verdict)
        return self.group | {"metric": self.metric} | dict(zip(KEYS, found, strict=True))


@dataclass(frozen=True)
class Groups:
    """The rows, and what has to be known before they are compared."""

    rows: list[GroupRow]
    notes: list[str]


def group_rows(
    runs: Iterable[Run],
    keys: Sequence[str],
    metric: str | None,
    *,
    rope: float | None = None,
    mixed_sources: bool = False,
) -> Groups:
    """A row for each combination of the keys' values and each metric, ordered by the keys.

    Runs between which the code changed have no gain together, but with ``mixed_sources``. Raises
    ConfigError for a key that no run has.
    """
    groups = _groups(runs, keys, metric)
    twins = {run.baseline for found in groups.values() for run in found}
    if len(twins) > 1:  # a gain over one twin is no gain over another
        keys = [*keys, "twin"]
        groups = _split_by_twin(groups)
    notes, rows = [], []
    for name in dict.fromkeys(key[-1] for key in groups):
        own = {key: found for key, found in groups.items() if key[-1] == name}
        kept, told = _balanced(own, keys)
        notes += told
        for key, found in kept.items():
            values = dict(zip(keys, key, strict=False))
            rows.append(_row(values, name, found, rope, mixed_sources))
    order = lambda row: [_order(v) for v in (row.metric, *row.group.values())]  # noqa: E731
    return Groups(sorted(rows, key=order), notes)


def _groups(runs: Iterable[Run], keys: Sequence[str], metric: str | None) -> dict[Key, list[Run]]:
    groups: dict[Key, list[Run]] = defaultdict(list)
    known: set[str] = set(NAMES)
    for run in runs:
        name = metric or run.metric
        if not math.isfinite(run.scores.get(name, math.nan)):
            continue
        config = {} if set(keys) <= set(NAMES) else run.config()
        known |= config.keys()
        values = tuple(getattr(run, key) if key in NAMES else config.get(key) for key in keys)
        groups[(*map(_frozen, values), name)].append(run)
    for key in keys:
        if key not in known:
            raise ConfigError(f"--by {key}: no run has this key; {nearest(key, known)}")
    return groups


def _split_by_twin(groups: Mapping[Key, list[Run]]) -> dict[Key, list[Run]]:
    split: dict[Key, list[Run]] = defaultdict(list)
    for (*values, name), runs in groups.items():
        for run in runs:
            split[(*values, run.baseline, name)].append(run)
    return split


Cells = dict[tuple[Cell, int], Run]
"""A group's runs by cell and seed."""


def _balanced(
    groups: Mapping[Key, list[Run]], keys: Sequence[str]
) -> tuple[dict[Key, list[list[Run]]], list[str]]:
    """For each group its cells, each a list of runs of the same seeds in the same order; and what
    is to be told."""
    factors = {key: [_factors(run, keys) for run in runs] for key, runs in groups.items()}
    apart = _confounded(list(factors.values()))
    names = sorted({n for found in factors.values() for one in found for n in one} - apart)
    placed: dict[Key, Cells] = {}
    for key, runs in groups.items():
        cells: Cells = {}
        for _, run, found in sorted(
            zip((r.started for r in runs), runs, factors[key], strict=True), key=lambda one: one[0]
        ):
            cells[tuple((n, found.get(n)) for n in names), run.seed] = run  # the latest counts
        placed[key] = cells
    shared = set.intersection(*({cell for cell, _ in cells} for cells in placed.values()))
    notes = [_apart_text(apart, keys)] if apart else []
    if not shared:
        notes.append(
            f"no pair, arm and budget is in every group, so rows by {', '.join(keys)} are of "
            "different things and not to be compared with each other"
        )
    kept = {key: _of_whole_seeds(cells, shared) for key, cells in placed.items()}
    left = sum(map(len, placed.values())) - sum(
        len(cell) for found in kept.values() for cell in found
    )
    if left:
        notes.append(
            f"{left} of {sum(map(len, placed.values()))} runs are left out, since not every group "
            "(or not every cell of a seed) has their like"
        )
    return {key: found for key, found in kept.items() if found}, notes


def _factors(run: Run, keys: Sequence[str]) -> dict[str, Any]:
    """All that was chosen for a run besides the keys and its seed."""
    found = {name: getattr(run, name) for name in _FACTORS}
    choices = run.record.get("choices") or {}
    found |= {name: choices[name] for name in _CHOSEN_WHOLE if choices.get(name)}
    found |= {
        name: _frozen(value)
        for name, value in overrides_of(run).items()
        if name not in SHOWN_AS_ARMS
    }
    return {name: value for name, value in found.items() if name not in keys}


def _confounded(groups: Sequence[Sequence[Mapping[str, Any]]]) -> set[str]:
    """What is the same within each group and differs between groups: it goes with the keys."""
    names = {name for group in groups for one in group for name in one}
    values = {n: [{one.get(n) for one in group} for group in groups] for n in names}
    return {
        name
        for name, each in values.items()
        if all(len(one) == 1 for one in each) and len(set.union(*each)) > 1
    }


def _apart_text(apart: Iterable[str], keys: Sequence[str]) -> str:
    some = sorted(apart)
    shown = ", ".join([*some[:_SHOWN], *["..."][: len(some) - _SHOWN]])
    return f"besides {', '.join(keys)}, the groups differ in {shown}"


def _of_whole_seeds(cells: Cells, shared: set[Cell]) -> list[list[Run]]:
    """The shared cells (or all, where none is), with the seeds that have each of them."""
    wanted = shared or {cell for cell, _ in cells}
    counts = Counter(seed for cell, seed in cells if cell in wanted)
    most = len(shared) or max(counts.values(), default=0)
    seeds = sorted(seed for seed, count in counts.items() if count == most)
    each = (
        [cells[cell, seed] for seed in seeds if (cell, seed) in cells]
        for cell in sorted(wanted, key=repr)
    )
    return [runs for runs in each if runs]


def _row(
    group: dict[str, Any], metric: str, cells: Sequence[Sequence[Run]], rope: float | None,
    mixed_sources: bool,
) -> GroupRow:  # fmt: skip
    runs = [run for cell in cells for run in cell]
    scores, gains, mixed = defaultdict(list), defaultdict(list), changed(runs)
    for run in runs:
        scores[run.seed].append(run.scores[metric])
        gain = run.gain(metric)
        if gain is not None and math.isfinite(gain) and (mixed_sources or not mixed):
            gains[run.seed].append(gain)
    each = [_mean(values) for values in gains.values()]
    whole = all(len(gains[seed]) == len(scores[seed]) for seed in scores)
    found, over = (interval(each) if each else None), SEEDS
    if found is not None and whole and (both := _over_both(cells, metric, found.mean)):
        found, over = both, BOTH
    if rope is None:
        rope = (cells[0][0].record.get("rope") or {}).get(metric)
    return GroupRow(
        group=group,
        metric=metric,
        runs=len(runs),
        seeds=len(scores),
        score=interval([_mean(values) for values in scores.values()]),
        gain=found,
        over=over if found is not None else None,
        verdict=verdict(found, len(each), rope),
        changed=mixed,
    )


def _over_both(cells: Sequence[Sequence[Run]], metric: str, mean: float) -> Interval | None:
    """The interval over seeds and test examples; None where the examples' values are missing."""
    import numpy as np

    if len({len(cell) for cell in cells}) > 1:
        return None
    sets: dict[Any, list[Any]] = defaultdict(list)
    for cell in cells:
        read = read_values(cell, metric)
        if isinstance(read, str):
            return None
        sets[read.key].append(read.gains * cell[0].better(metric))
    units = sum(found[0].shape[1] for found in sets.values())
    strata = []
    for found in sets.values():
        # As if each unit stood for as many as its cells weigh; a set's own mean is no chance.
        own = np.mean(found, axis=0, dtype=np.float64) * (
            len(found) / len(cells) * units / found[0].shape[1]
        )
        strata.append(own - own.mean())
    return crossed(np.concatenate(strata, 1) + mean).interval(mean)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _frozen(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then words; what is missing first."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
