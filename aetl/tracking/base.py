"""What a tracker is: a place beside the run's folder that gets the run's numbers and pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from aetl.data.base import Examples
from aetl.store.store import Entry
from aetl.tracking.history import Row

Status = Literal["done", "pruned", "refused", "failed", "interrupted"]

TABLED = ("version", "started", "source", "target", "autoencoder", "loss", "transfer", "selector",
          "budget", "seed", "settings", "fingerprints")  # fmt: skip
"""The values of a record, known at its start, that tables of runs are made of."""


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run at its start."""

    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    """``TABLED`` with ``metric`` and ``higher_is_better``, and the run's ``sweep``, ``experiment``
    and ``pretraining`` (the digest that runs with one encoder share)."""
    folder: Path
    output_dir: Path


@dataclass(frozen=True)
class Results:
    """What a run comes to; empty for one that has not come to its end."""

    summary: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[], Mapping[str, Path]] = dict
    test: Examples | None = None
    """The target's test examples, in the order of the folder's ``predictions.npz``."""

    @cached_property
    def figures(self) -> Mapping[str, Path]:
        """The run's pictures by name, drawn for the first who asks."""
        return self.draw()


class Tracker(ABC):
    """Gets rows while a run goes on and everything else at its end."""

    @abstractmethod
    def start(self, about: About) -> None:
        """Open the run."""

    @abstractmethod
    def log(self, rows: Sequence[Row]) -> None:
        """Some new values of a stage."""

    def stage_done(self, stage: str, entry: Entry) -> None:  # noqa: B027 (most have no use for it)
        """A stage's result is in the store now, or was there already."""

    def pictures(self, stage: str, found: Sequence[tuple[int, Path]]) -> None:  # noqa: B027
        """Pictures that were taken while a stage trained, each with its step."""

    @abstractmethod
    def finish(self, results: Results, status: Status) -> None:
        """The results and pictures, and how the run ended."""


def status_of(error: BaseException | None) -> Status:
    """How a run ended that raised ``error``. (Lightning turns Ctrl-C into SystemExit.)"""
    if error is None:
        return "done"
    if end := getattr(error, "ends_as", None):  # Pruned, DoesNotFit, or another rank's
        known: Status = end
        return known
    return "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
