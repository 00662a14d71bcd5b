"""Runs in a list: which of them, in which order, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aetl.comparison.run import Run
from aetl.config import ConfigError, nearest

NAMES = ("status", "source", "target", "autoencoder", "loss", "transfer", "budget", "selector",
         "seed", "metric")  # fmt: skip
"""What the record itself names; any other key is one of the config."""
SHOWN = ("status", "source", "target", "autoencoder", "transfer", "budget", "seed")


def chosen_runs(runs: Sequence[Run], where: Sequence[str]) -> list[Run]:
    """The runs in which each ``KEY=VALUE`` holds; ConfigError for a key that no run has."""
    for text in where:
        key, sign, wanted = text.partition("=")
        if not sign:
            raise ConfigError(f"--where {text}: expected KEY=VALUE")
        values = _values(runs, f"--where {key}", key)
        runs = [run for run, value in zip(runs, values, strict=True) if _text(value) == wanted]
    return list(runs)


def sorted_runs(runs: Sequence[Run], by: str) -> list[Run]:
    """The best first by a metric or by ``gain``; by any other key in its order."""
    if by == "gain" or any(by in run.scores for run in runs):
        return sorted(runs, key=lambda run: _worse(run, by))
    values = _values(runs, f"--sort {by}", by)
    order = sorted(range(len(runs)), key=lambda i: _order(values[i]))
    return [runs[i] for i in order]


def listed(runs: Sequence[Run], folder: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What all runs have in common, and the columns of what they have not, with the results."""
    columns = {name: [_text(_value(run, name)) for run in runs] for name in SHOWN}
    same = {name for name, values in columns.items() if len(runs) > 1 and len({*values}) == 1}
    common = {name: columns[name][0] for name in columns if name in same}
    table = {"run": [_below(run.folder, folder) for run in runs]}
    table |= {name: values for name, values in columns.items() if name not in same}
    metrics = {run.metric for run in runs}
    head = metrics.pop() if len(metrics) == 1 else ""
    table[head or "score"] = [_score(run, not head) for run in runs]
    gains = (run.gain(run.metric) for run in runs)
    table["gain"] = ["" if gain is None else f"{gain:+.4f}" for gain in gains]
    return common, table


def _below(run: Path, folder: Path) -> str:
    """A run's folder as it is typed after the one that was asked for."""
    return str(run.relative_to(folder)) if run != folder and folder in run.parents else str(run)


def _score(run: Run, named: bool) -> str:
    score = run.scores.get(run.metric)
    if score is None:
        return ""
    return f"{run.metric} {score:.4f}" if named else f"{score:.4f}"


def _values(runs: Sequence[Run], what: str, key: str) -> list[Any]:
    if key in NAMES:
        return [_value(run, key) for run in runs]
    configs = [run.config() for run in runs]
    known = {name for config in configs for name in config}
    if runs and key not in known:
        scores = {name for run in runs for name in run.scores}
        raise ConfigError(f"{what}: no run has it; {nearest(key, {*known, *NAMES, *scores})}")
    return [config.get(key) for config in configs]


def _value(run: Run, name: str) -> Any:
    return getattr(run, name)


def _worse(run: Run, by: str) -> float:
    """Less for a better run; inf for one without a result."""
    if by == "gain":
        gain = run.gain(run.metric)
        return math.inf if gain is None or math.isnan(gain) else -gain
    score = run.scores.get(by, math.nan)
    return math.inf if math.isnan(score) else -score * run.better(by)


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _text(value: Any) -> str:
    """As it is written in a config."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
