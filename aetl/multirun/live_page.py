"""Keeps the page of a running sweep up to date, for no more than a hundredth of its time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from aetl.comparison.run import find_runs
from aetl.multirun.job import task_of
from aetl.multirun.manifest import Manifest

log = logging.getLogger(__name__)

WRITE = "aetl.report.live_page:write_live_page"
"""Found by its name: what shows runs does not belong to what runs them."""
WHOLE = "aetl.report.live_page:write_whole_page"
LAST = "aetl.report.sweep_page:write_sweep_page"
PERIOD = 10.0
"""Seconds at least between two versions."""
SHARE = 0.01
"""Of the sweep's time, at most."""
FIRST = 2.0
"""Seconds that a whole page is taken to cost before one was drawn."""


class LivePage:
    """Where a sweep stands is written by the launcher itself, in milliseconds; the comparison is
    drawn in a process beside the jobs, when there is time for one."""

    def __init__(
        self, manifest: Manifest, context: BaseContext | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.manifest, self.context, self.clock = manifest, context, clock
        self.spent = 0.0
        self._start = self._next = clock()
        self._brief, self._whole = 0.0, FIRST  # what a version cost last
        self._compared = 0
        self._drawing: Any = None
        self._drawn_at = 0.0
        self._fails = False

    def look(self) -> None:
        """Called about twice a second."""
        if self._drawing is not None:
            self._ended()
        elif not self._fails and self.clock() >= self._next and self._affords(self._brief):
            self._write()
            done = sum(job.state == "done" for job in self.manifest.jobs)
            if done > self._compared and self._affords(self._whole):
                self._compared = done
                self._draw()

    def close(self) -> None:
        """A last version, which is loaded no more; the comparison at the end is drawn by others."""
        if self._drawing is not None:
            self._drawing.join(10.0)
            if self._drawing.exitcode is None:
                self._drawing.kill()
                self._drawing.join()
            self._drawing = None
        if not self._fails:
            self._write(last=True)

    def _affords(self, seconds: float) -> bool:
        return self.spent + seconds <= SHARE * (self.clock() - self._start)

    def _given(self, last: bool = False) -> tuple[Any, ...]:
        jobs = [asdict(job) for job in self.manifest.jobs]
        return self.manifest.folder, jobs, 0 if last else round(self._period)

    @property
    def _period(self) -> float:
        return max(PERIOD, self._brief / SHARE)

    def _write(self, last: bool = False) -> None:
        begin = self.clock()
        try:
            task_of(WRITE)(self._given(last))
        except Exception as error:  # a full disk, say: the sweep is more than its page
            self._fails = True
            log.warning("no page of the running sweep: %s", error)
        self._brief = self.clock() - begin
        self.spent += self._brief
        self._next = begin + self._period

    def _draw(self) -> None:
        if self.context is None:
            return
        self._drawing = self.context.Process(target=draw, args=self._given())  # type: ignore[attr-defined]
        self._drawn_at = self.clock()
        self._drawing.start()

    def _ended(self) -> None:
        if self._drawing.exitcode is None:
            return
        self._whole = self.clock() - self._drawn_at
        self.spent += self._whole
        self._drawing = None


def last_page(folder: Path) -> None:
    """The page of a sweep that has ended, where it has any result."""
    if find_runs([folder]).done:
        task_of(LAST)([folder])


def draw(folder: Any, jobs: list[dict[str, Any]], again: int) -> None:
    """A process's main function."""
    import os

    os.nice(10)
    logging.disable()
    task_of(WHOLE)((folder, jobs, again))
