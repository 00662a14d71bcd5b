"""A search over hyper-parameters: which were tried, with what score, and which of them mattered."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aetl.comparison.run import Run

MIN_R2 = 0.3
"""A forest that explains less of the scores it has not seen says nothing of what mattered."""
MIN_TRIALS = 8
MIN_VALUES = 4

SHOWN_AS_ARMS = {
    *("transfer", "autoencoder", "loss", "selector", "target.budget", "target.per_class"),
    "target.stratified",
    *("dataset@source", "dataset@target", "target.fold", "source.fold"),
}
"""What panels and budgets show already, and folds, over which a seed is one."""
_NOT_SEARCHED = {"seed", "experiment", "paper", "debug", "sweep", "logger", "callback", "tags"}


@dataclass(frozen=True)
class Search:
    """Trials of one source, target and metric: ``trials`` are values by parameter and the mean
    score over seeds, on held-out labels where every run has such a score."""

    title: str
    metric: str
    higher_is_better: bool
    parameters: list[str]
    trials: list[tuple[dict[str, Any], float]]


@dataclass(frozen=True)
class Importance:
    """How much of the score each parameter explains, and how much the forest does in all.

    ``shares`` is the drop of R^2 when a parameter is shuffled (Breiman 2001, section 10), mean
    over repeats; ``r2`` is the forest's own, out of bag: near 0, the shares mean nothing.
    """

    shares: dict[str, float]
    r2: float

    @property
    def tells(self) -> bool:
        return self.r2 >= MIN_R2


def searches(runs: Iterable[Run], metric: str | None = None) -> list[Search]:
    """The hyper-parameter searches among runs, by what their overrides name.

    Two parameters that differ make a search, or one with four values, given eight trials.
    """
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        name = metric or run.metric
        if math.isfinite(run.scores.get(name, math.nan)):
            groups[run.source, run.target, name].append(run)
    found = [_search(key, group) for key, group in groups.items()]
    return [search for search in found if search]


def _search(key: tuple[str, str, str], runs: Sequence[Run]) -> Search | None:
    source, target, metric = key
    chosen = [overrides_of(run) for run in runs]
    shared = set.intersection(*(set(values) for values in chosen))
    parameters = [
        name for name in chosen[0] if name in shared and len({repr(c[name]) for c in chosen}) > 1
    ]
    searched = [name for name in parameters if name not in SHOWN_AS_ARMS]
    if not searched or (len(searched) == 1 and _count(chosen, searched[0]) < MIN_VALUES):
        return None
    held_out = [_held_out(run, metric) for run in runs]
    judged = [score for score in held_out if score is not None]
    by_selection = len(judged) == len(runs)
    scores: dict[str, tuple[dict[str, Any], list[float]]] = {}
    found = judged if by_selection else [run.scores[metric] for run in runs]
    for score, values in zip(found, chosen, strict=True):
        trial = {name: values[name] for name in parameters}
        scores.setdefault(repr(trial), (trial, []))[1].append(score)
    if len(scores) < MIN_TRIALS:
        return None
    trials = [(trial, math.fsum(values) / len(values)) for trial, values in scores.values()]
    better = runs[0].higher_is_better[metric]
    name = f"{metric} on held-out labels" if by_selection else f"{metric} on the test set"
    return Search(f"{source} → {target}", name, better, parameters, trials)


def _held_out(run: Run, metric: str) -> float | None:
    """The score that a search went by; None where the run's selector held no labels out."""
    chosen = run.record.get("selection") or {}
    score = chosen.get("score") if chosen.get("metric") == metric else None
    return None if score is None or not math.isfinite(score) else float(score)


def _count(chosen: Sequence[Mapping[str, Any]], name: str) -> int:
    return len({repr(values[name]) for values in chosen})


def overrides_of(run: Run) -> dict[str, Any]:
    """The values that a run's command line gave, by key."""
    import yaml

    values: dict[str, Any] = {}
    for text in run.record.get("overrides") or []:
        name, equals, value = str(text).lstrip("+").partition("=")
        if not equals or name.startswith(("hydra", "~")) or name in _NOT_SEARCHED:
            continue
        try:
            values[name] = _number(yaml.safe_load(value))
        except yaml.YAMLError:
            values[name] = value
    return values


def _number(value: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` as text; hydra reads it as a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def is_numeric(search: Search, name: str) -> bool:
    values = [trial[name] for trial, _ in search.trials]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def levels(search: Search, name: str) -> list[str]:
    """The values of a parameter that is no number, as text, in order."""
    return sorted({str(trial[name]) for trial, _ in search.trials})


def importance(search: Search) -> Importance:
    """Permutation importance in a random forest of the trials (it takes numbers and choices)."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    columns = []
    for name in search.parameters:
        values = [trial[name] for trial, _ in search.trials]
        if not is_numeric(search, name):
            order = levels(search, name)
            values = [order.index(str(value)) for value in values]
        columns.append(values)
    x, y = np.array(columns, dtype=float).T, np.array([score for _, score in search.trials])
    if np.ptp(y) == 0:
        return Importance(dict.fromkeys(search.parameters, 0.0), 0.0)
    forest = RandomForestRegressor(200, oob_score=True, random_state=0, min_samples_leaf=2)
    forest.fit(x, y)
    found = permutation_importance(forest, x, y, n_repeats=20, random_state=0, scoring="r2")
    shares = dict(zip(search.parameters, map(float, found.importances_mean), strict=True))
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return Importance(ordered, float(forest.oob_score_))
