"""What a search may look at: scores on held-out labels, histories, costs; never a test score."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from aetl.config import ConfigError
from aetl.files import read_json

Direction = Literal["maximize", "minimize"]

FORMS = "selection, STAGE/SPLIT/NAME of metrics.csv, seconds/STAGE, receipt/KEY"
_TEST = ("evaluate", "scores", "test", "gain", "twin")


def directions_of(objective: Iterable[str]) -> dict[str, Direction]:
    """``[selection, -seconds/pretrain]``: more of the first is better, less of the second.

    A list, since of two configs' lists the later one counts, while mappings are merged.
    """
    return {
        name.removeprefix("-"): "minimize" if name.startswith("-") else "maximize"
        for name in objective
    }


def refuse_objectives(objective: Mapping[str, Direction], selector: str | None) -> None:
    """``ConfigError`` for a name that cannot be, and for test scores."""
    if not objective:
        raise ConfigError(f"hydra.sweeper.objective: empty; choose from {FORMS}")
    for name in objective:
        where = f"hydra.sweeper.objective={name}"
        parts = name.split("/")
        if parts[0] in _TEST:
            raise ConfigError(f"{where}: a search must not look at test scores; use 'selection'")
        if name != "selection" and not (
            len(parts) == 3 or (len(parts) == 2 and parts[0] in ("seconds", "receipt"))
        ):
            raise ConfigError(f"{where}: no such objective; expected one of {FORMS}")
    if "selection" in objective and selector == "aetl.selector.last.Last":
        raise ConfigError(
            "hydra.sweeper.objective=selection: selector=last holds no labels out; "
            "choose selector=target_validation"
        )


def objectives_of(folder: Path, objective: Mapping[str, str]) -> list[float]:
    """The values of a finished run's objectives, from the files in its folder.

    Raises ``ConfigError`` where a run has no such value or where it is not finite.
    """
    record = read_json(folder / "run.json")
    values = []
    for name, direction in objective.items():
        value = _value(folder, record, name, direction)
        if value is None or not math.isfinite(value):
            raise ConfigError(f"hydra.sweeper.objective={name}: is {value} for this run")
        values.append(float(value))
    return values


def _value(folder: Path, record: Mapping[str, Any], name: str, direction: str) -> float | None:
    if name == "selection":
        return _selection(record, direction)
    parts = name.split("/")
    if len(parts) == 2:
        value: float | None = record.get(parts[0], {}).get(parts[1])
        return value
    return _last(folder / "metrics.csv", parts)


def _last(history: Path, parts: list[str]) -> float | None:
    with open(history, newline="") as file:
        rows = [r for r in csv.DictReader(file) if [r["stage"], r["split"], r["name"]] == parts]
    return float(rows[-1]["value"]) if rows else None


def _selection(record: Mapping[str, Any], direction: str) -> float | None:
    chosen = record.get("selection")
    if chosen is None:
        return None
    if chosen["higher_is_better"] != (direction == "maximize"):
        better = "higher" if chosen["higher_is_better"] else "lower"
        sign = "" if chosen["higher_is_better"] else "-"
        raise ConfigError(
            f"hydra.sweeper.objective: of {chosen['metric']} {better} is better: {sign}selection"
        )
    return float(chosen["score"])
