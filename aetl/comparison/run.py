"""Finished runs, read back from their folders.

Nothing heavy is imported here: thousands of folders are read before a table is drawn.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aetl.comparison.kinds import misfit
from aetl.config import ConfigError
from aetl.files import is_altered, is_let_go
from aetl.foreign import refuse_endless, yaml_text

logger = logging.getLogger(__name__)

RECORD = "run.json"
VERSION = 1
ALTERED = "is not what the run wrote (damaged, or edited); restore it, or aetl rerun"
ALIVE = ".alive.lock"
"""The file in a run's folder that its process holds while it runs."""

# Large folders that hold no runs. Hidden ones (.hydra, .git) are left out as well.
_NOT_SEARCHED = frozenset({"store", "wandb", "checkpoints", "figures"})

_NAMES = ("source", "target", "autoencoder", "loss", "transfer", "selector", "metric")


class RecordError(ValueError):
    """A run.json that cannot be used, told in one line."""


@dataclass(frozen=True)
class Run:
    """One run's folder with what its run.json says; ``record`` is the whole file."""

    folder: Path
    status: str
    seed: int
    source: str
    target: str
    autoencoder: str
    loss: str
    transfer: str
    budget: int | str
    selector: str
    metric: str
    settings: str
    started: str
    scores: Mapping[str, float]
    twin: Mapping[str, float]
    gains: Mapping[str, float]
    higher_is_better: Mapping[str, bool]
    record: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def baseline(self) -> str:
        """The control that is this run's twin, without its family."""
        return str(self.record.get("baseline", "control/scratch")).removeprefix("control/")

    @property
    def fold(self) -> int:
        """Which part of the data was the test set, where there are folds."""
        return int(self.record.get("fold") or 0)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the run warned of, a line each."""
        return tuple(map(str, self.record.get("warnings") or ()))

    def better(self, metric: str) -> int:
        """+1 where a higher score is better, -1 where a lower one is."""
        return 1 if self.higher_is_better[metric] else -1

    def gain(self, metric: str) -> float | None:
        """Score minus the twin's, turned so that positive is better."""
        return self.gains.get(metric)

    def config(self) -> dict[str, Any]:
        """The resolved config by dotted keys; empty where config.yaml is missing or not YAML."""
        try:
            text = yaml_text(self.folder / "config.yaml")
        except (OSError, ValueError):
            return {}
        flat: dict[str, Any] = {}
        for section in re.split(r"^(?=[^\s#-])", text, flags=re.MULTILINE):
            flat |= _flat_section(section)
        return flat


@dataclass(frozen=True)
class Found:
    """The runs below some folders, in the order of the folders, and the records out of order."""

    runs: list[Run]
    unreadable: list[tuple[Path, str]]

    @property
    def done(self) -> list[Run]:
        """The runs with a result."""
        return [run for run in self.runs if run.status == "done"]

    @property
    def unfinished(self) -> list[Run]:
        return [run for run in self.runs if run.status != "done"]

    def left_out(self) -> str:
        """``2 failed, 1 running, 1 unreadable``, or nothing."""
        counts = Counter(sorted(run.status for run in self.unfinished))
        counts["unreadable"] = len(self.unreadable)
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def find_runs(paths: Iterable[str | Path]) -> Found:
    """Every run at or below the paths (a run's folder, a multirun's, or any folder above them).

    Raises FileNotFoundError for a path that is not there. A record that cannot be read is one
    warning and is otherwise passed over.
    """
    found = Found([], [])
    for path in _records(paths):
        try:
            found.runs.append(read_run(path.parent))
        except RecordError as error:
            logger.warning("left out %s: %s", path, error)
            found.unreadable.append((path, str(error)))
    return found


def read_run(folder: Path) -> Run:
    """The run of a folder; ``RecordError`` where its run.json is missing, cut off or malformed.

    A run without a result may lack whatever it had not come to; a finished one may not.
    """
    try:
        refuse_endless(folder / RECORD)
        record = json.loads((folder / RECORD).read_bytes())
    except OSError as error:
        raise RecordError(f"{RECORD} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # of JSON or of UTF-8
        raise RecordError(f"{RECORD} is cut off or not JSON ({error})") from None
    if is_altered(record):
        raise RecordError(f"{RECORD} {ALTERED}")
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise RecordError(f"{RECORD} is not the record of a run (no status)")
    if (wrong := misfit(record)) is not None:
        raise RecordError(f"{RECORD} holds {wrong}")
    if record.get("version", VERSION) != VERSION:
        raise RecordError(f"{RECORD} has version {record['version']}, this aetl reads {VERSION}")
    try:
        return run_of(folder, record | {"status": status_now(folder, record)})
    except KeyError as error:
        raise RecordError(f"{RECORD} of a finished run lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{RECORD} holds a value of the wrong kind ({error})") from None


def load_record(folder: Path) -> dict[str, Any]:
    """The record in a run's folder, without importing what wrote it."""
    path = folder / "run.json" if folder.is_dir() else folder
    if path.name != "run.json" or not path.exists():
        raise ConfigError(f"{folder}: not a run's folder (it has no run.json)")
    refuse_endless(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: cannot be read as JSON") from None
    if is_altered(record):
        raise ConfigError(f"{path}: {ALTERED}")
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise ConfigError(f"{path}: is not the record of a run (no status)")
    if (wrong := misfit(record)) is not None:
        raise ConfigError(f"{path}: holds {wrong}")
    return record | {"status": status_now(path.parent, record)}


def status_now(folder: Path, record: Mapping[str, Any]) -> str:
    """The record's status; ``killed`` where it says ``running`` and nobody runs any more."""
    status = str(record.get("status"))
    return "killed" if status == "running" and is_let_go(folder / ALIVE) else status


def run_of(folder: Path, record: dict[str, Any]) -> Run:
    """The run that a record tells of."""
    done = record["status"] == "done"
    known = record if done else dict.fromkeys(_NAMES, "?") | {"budget": "?"} | record
    metric = known["metric"]
    run = Run(
        folder=folder,
        status=record["status"],
        seed=int(record["seed"] if done else record.get("seed") or 0),
        **{name: str(known[name]) for name in _NAMES},
        budget=known["budget"] if isinstance(known["budget"], int) else str(known["budget"]),
        settings=str(record["settings"] if done else record.get("settings")),
        started=str(record.get("started") or ""),
        scores=_numbers(record["scores"] if done else record.get("scores")),
        twin=_numbers(record.get("twin")),
        gains=gains_of(record),
        higher_is_better=dict(record.get("higher_is_better") or {}),
        record=record,
    )
    if done and (missing := {metric, *run.scores} - run.higher_is_better.keys()):
        raise KeyError(f"higher_is_better of {', '.join(sorted(missing))}")
    return run


def oriented(score: float, twin: float, higher_is_better: bool) -> float:
    """A gain: the score minus the twin's, turned so that positive is better. It is made here."""
    return score - twin if higher_is_better else twin - score


def gains_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The gains of a record's metrics, from its scores: older records keep plain differences."""
    scores, twin = (_numbers(record.get(part)) for part in ("scores", "twin"))
    better = record.get("higher_is_better") or {}
    return {
        name: oriented(scores[name], twin[name], better.get(name, True))
        for name in _numbers(record.get("gain"))
        if name in scores and name in twin
    }


def _numbers(values: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (values or {}).items() if value is not None}


def _records(paths: Iterable[str | Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for path in paths:
        top = os.path.dirname(path) or "." if os.path.basename(path) == RECORD else os.fspath(path)
        if not os.path.isdir(top):
            raise FileNotFoundError(f"{path}: no such folder")
        real_top = os.path.realpath(top)
        for folder in sorted(_run_folders(top), key=_numbered):
            # No link is followed below the top, so that the rest of the path is real already.
            real = os.path.normpath(os.path.join(real_top, os.path.relpath(folder, top)))
            if real not in seen:
                seen.add(real)
                yield Path(folder, RECORD)


def _run_folders(top: str) -> Iterator[str]:
    """Folders that hold a record, by scandir: it knows without a further call what is a folder."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = [e for e in entries if e.name == RECORD or not e.name.startswith(".")]
        except OSError as error:
            logger.warning("left out %s: %s", folder, error.strerror)
            continue
        if any(entry.name == RECORD for entry in found):
            yield folder  # a run holds no further runs
            continue
        waiting += [
            entry.path
            for entry in found
            if entry.name not in _NOT_SEARCHED and entry.is_dir(follow_symlinks=False)
        ]


def _numbered(path: str) -> list[str | int]:
    """Sorts ``job/10`` after ``job/9``."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", path))]


@functools.lru_cache(maxsize=4096)
def _flat_section(text: str) -> dict[str, Any]:
    """One top-level node by dotted keys. Cached: the configs of a sweep differ in a node or two."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return dict(_flatten("", yaml.load(text, Loader=loader)))
    except yaml.YAMLError:
        return {}


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        if prefix:
            yield prefix, value
        return
    for key, inner in value.items():
        yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
