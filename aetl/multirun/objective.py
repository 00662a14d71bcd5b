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


def directions_of(
    objective: Iterable[str], higher_is_better: Mapping[str, bool]
) -> dict[str, Direction]:
    """``[selection, -seconds/pretrain]``: the better score, and less of the second.

    A list, since of two configs' lists the later one counts, while mappings are merged. A score
    has its metric's own direction (``higher_is_better`` by name, the first is the selector's);
    ``ConfigError`` where a sign says otherwise, and for costs of which more is asked for.
    """
    found: dict[str, Direction] = {}
    for text in objective:
        name = text.removeprefix("-")
        what = next(iter(higher_is_better), "") if name == "selection" else name.split("/")[-1]
        higher = False if what == "loss" or name.startswith("seconds/") else None
        higher = higher_is_better.get(what, higher) if name.count("/") != 1 else higher
        more = not text.startswith("-")
        if higher is not None and more != higher and text != "selection":
            raise ConfigError(
                f"hydra.sweeper.objective={text}: {'higher' if higher else 'lower'} is better; "
                f"write {'' if higher or name == 'selection' else '-'}{name}"
            )
        found[name] = "maximize" if (more if higher is None else higher) else "minimize"
    return found


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


def objectives_of(folder: Path, objective: Iterable[str]) -> list[float]:
    """The values of a finished run's objectives, by name, from the files in its folder.

    Raises ``ConfigError`` where a run has no such value or where it is not finite.
    """
    record = read_json(folder / "run.json")
    values = []
    for name in (text.removeprefix("-") for text in objective):
        value = _value(folder, record, name)
        if value is None or not math.isfinite(value):
            raise ConfigError(f"hydra.sweeper.objective={name}: is {value} for this run")
        values.append(float(value))
    return values


def _value(folder: Path, record: Mapping[str, Any], name: str) -> float | None:
    value: float | None
    parts = name.split("/")
    if name == "selection":
        value = (record.get("selection") or {}).get("score")
    elif len(parts) == 2:
        value = record.get(parts[0], {}).get(parts[1])
    else:
        value = _last(folder / "metrics.csv", parts)
    return value


def _last(history: Path, parts: list[str]) -> float | None:
    with open(history, newline="") as file:
        rows = [r for r in csv.DictReader(file) if [r["stage"], r["split"], r["name"]] == parts]
    return float(rows[-1]["value"]) if rows else None
