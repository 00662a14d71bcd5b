"""A run's trackers together, beside the ``metrics.csv`` that is always written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from aetl import ranks
from aetl.data.base import Examples
from aetl.store.store import Entry
from aetl.tracking.base import About, Results, Tracker, status_of
from aetl.tracking.history import Listener, Row, read_history, write_history
from aetl.types import UserError

log = logging.getLogger(__name__)


def _flat(name: str, node: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of nested dictionaries, by their path."""
    found: dict[str, float] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{name}/{key}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{name}/{key}"] = float(value)
    return found


class Track:
    """Passes rows on to the trackers; a tracker that fails is dropped with a warning.

    Losing the network or a tracker's quota must not lose the run: the folder is the truth.
    """

    def __init__(
        self, trackers: Sequence[Tracker], about: About, watch: Listener | None = None
    ) -> None:
        self.about, self._watch = about, watch
        self.rows: list[Row] = []
        self._trackers = list(trackers)
        self._live: set[str] = set()
        self._results = Results()

    def __enter__(self) -> Track:
        self._each("start", self.about)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._each("finish", self._results, status_of(error))

    def listener(self, stage: str) -> Listener:
        """A function that takes a stage's rows while it trains, under the name ``stage``."""

        def listen(rows: list[Row]) -> None:
            self._live.add(stage)
            named = [row._replace(stage=stage) for row in rows]
            self._each("log", named)
            if self._watch is not None:
                self._watch(named)

        return listen

    def stage_done(self, stage: str, entry: Entry | None) -> None:
        """Add a finished stage to ``metrics.csv``; one that came from the store is replayed."""
        if entry is None or ranks.rank() > 0:
            return
        rows = [row._replace(stage=stage) for row in read_history(entry.path / "metrics.csv")]
        self.rows += rows
        if stage not in self._live:
            self._each("log", rows)
        write_history(self.about.folder / "metrics.csv", self.rows)
        self._each("stage_done", stage, entry)

    def pictures(self, stage: str, found: Sequence[tuple[int, Path]]) -> None:
        """Pass on what was taken while a stage trained."""
        if found:
            self._each("pictures", stage, found)

    def result(
        self,
        record: Mapping[str, Any],
        draw: Callable[[], Mapping[str, Path]],
        test: Examples | None = None,
    ) -> None:
        """What the trackers get at the end: scores, gains, times, pictures, test examples."""
        named = {f"evaluate/test/{k}": v for k, v in record["scores"].items()}
        named |= {f"evaluate/gain/{k}": v for k, v in record["gain"].items()}
        named |= {f"evaluate/twin/{k}": v for k, v in record["twin"].items()}
        errors = record.get("reconstruction", {})
        named |= {f"evaluate/reconstruction/{k}": v for k, v in errors.items()}
        named |= {f"seconds/{k}": v for k, v in record["seconds"].items()}
        named |= {f"evaluate/oracle/{k}": v for k, v in (record.get("oracle") or {}).items()}
        named |= _flat("retention", record.get("retention") or {})
        named |= _flat("transferability", record.get("transferability") or {})
        self._results = Results(named, draw, test)

    def figures(self) -> Mapping[str, Path]:
        """Draw the run's pictures and its page, where no tracker has asked for them yet."""
        return self._results.figures

    def _each(self, method: str, *arguments: Any) -> None:
        for tracker in list(self._trackers):
            try:
                getattr(tracker, method)(*arguments)
            except (UserError, TypeError, AttributeError):
                raise  # a mistake, the user's or ours, and no outage
            except Exception as error:
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                log.warning("%s failed to %s and is dropped: %s", name, method, error)
