"""What a tracker is: a place beside the run's folder that gets the run's numbers and pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetl.tracking.history import Row


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run at its start."""

    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    folder: Path
    output_dir: Path
    goals: Mapping[str, bool]
    """Metric names of the result, and whether higher is better."""


class Tracker(ABC):
    """Gets rows while a run goes on and everything else at its end."""

    @abstractmethod
    def start(self, about: About) -> None:
        """Open the run."""

    @abstractmethod
    def log(self, rows: Sequence[Row]) -> None:
        """Some new values of a stage."""

    @abstractmethod
    def finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path], ok: bool) -> None:
        """The results and pictures; ``ok`` is whether the run succeeded."""
