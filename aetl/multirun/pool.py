"""Runs the jobs of a sweep, each in a fresh process, some at a time.

A job that raises, segfaults or is killed takes only itself down. Every change of a state is in the
manifest before anything else happens, so that whatever stops the launcher can be resumed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from aetl.ending import ASKING
from aetl.files import read_json
from aetl.multirun.backend import Backend, Handle
from aetl.multirun.job import Outcome, Surroundings, Work
from aetl.multirun.manifest import ENDED, JobEntry, Manifest, now
from aetl.multirun.progress import Progress


@dataclass
class Running:
    """A job that has been started."""

    job: JobEntry
    handle: Handle
    gpus: tuple[str, ...]
    start: float
    told: bool = False  # that it should stop

    def tell(self) -> None:
        self.told = True
        self.handle.tell()


class Supply(Protocol):
    """Makes further jobs while a sweep runs, in the light of how the others ended."""

    @property
    def expected(self) -> int:
        """How many jobs are still to run, for the display of progress."""

    def next(self) -> JobEntry | None:
        """A further job, in the manifest already; ``None`` when there is none any more."""

    def look(self, running: Sequence[JobEntry]) -> None:
        """Called about twice a second."""

    def ended(self, job: JobEntry) -> None:
        """A job has ended for good, or was interrupted."""


class Pool:
    """Runs jobs of a manifest until all have ended, or until Ctrl-C."""

    def __init__(
        self, manifest: Manifest, backend: Backend, gpus: Sequence[str], progress: Progress,
        look: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.manifest, self.backend, self.progress, self.look = manifest, backend, progress, look
        self.interrupted: signal.Signals | None = None
        self.values: dict[int, Any] = {}
        self._gpus = list(gpus)
        self._on_gpu: Counter[str] = Counter()
        self._cores = len(os.sched_getaffinity(0))
        self._running: list[Running] = []

    def run(self, jobs: Sequence[JobEntry], supply: Supply | None = None) -> None:
        """Run ``jobs`` and those of ``supply``; their entries say how they ended, ``values`` what
        their tasks returned."""
        waiting = spread(jobs)
        tries_before = Counter({job.number: job.tries for job in jobs})
        with self._interruptible():
            while True:
                while self.interrupted is None and (job := self._next(waiting, supply)):
                    waiting.remove(job)
                    self._start(job)
                if not self._running:
                    return
                self.look()
                if supply is not None:
                    supply.look([running.job for running in self._running])
                for ended in self._ended():
                    self._finish(ended)
                    tries = ended.job.tries - tries_before[ended.job.number]
                    if ended.job.state == "failed" and tries <= self.manifest.retries:
                        ended.job.state = "waiting"
                        waiting.append(ended.job)
                    elif supply is not None:
                        supply.ended(ended.job)
                    self.manifest.note(ended.job)
                    self.progress.ended(ended.job)

    def _next(self, waiting: list[JobEntry], supply: Supply | None = None) -> JobEntry | None:
        """The first that there is room for: a job of several ranks does not hold up the others."""
        # A search knows more the later it is asked.
        if supply is not None and not waiting and len(self._running) < self._most():
            job = supply.next()
            waiting += [job] if job else []
        return next((job for job in waiting if self._has_room(job)), None)

    def _most(self) -> int:
        return self.manifest.jobs_at_once or self._cores

    def _has_room(self, job: JobEntry) -> bool:
        if not self._running:
            return True
        if self.manifest.jobs_at_once is not None:
            return len(self._running) < self.manifest.jobs_at_once
        if not self.backend.local:
            return True  # a cluster has a queue of its own
        used = sum(running.job.threads * running.job.ranks for running in self._running)
        return used + job.threads * job.ranks <= self._cores

    def _start(self, job: JobEntry) -> None:
        job.state, job.tries, job.started = "running", job.tries + 1, now()
        job.ended = job.seconds = job.exit_code = job.signal = job.error = job.score = None
        self.manifest.note(job)
        gpus = self._take_gpus(job)
        surroundings = Surroundings(dict(os.environ), self.manifest.cwd, self.manifest.command)
        folder = self.manifest.job_folder(job).absolute()
        what = Work(self.manifest.task, folder, job.tries, job.threads, gpus, surroundings)
        handle = self.backend.start(what, f"job-{job.number}")
        running = Running(job, handle, gpus, time.monotonic())
        self._running.append(running)
        if self.interrupted is not None and not running.told:  # while it was being started
            running.tell()
        self.progress.started(job)

    def _take_gpus(self, job: JobEntry) -> tuple[str, ...]:
        """The GPUs that have the fewest jobs, one for each rank."""
        if not (job.on_gpu and self._gpus):
            return ()
        least = sorted(self._gpus, key=lambda gpu: self._on_gpu[gpu])[: job.ranks]
        self._on_gpu.update(least)
        return tuple(least)

    def _ended(self) -> list[Running]:
        ready = self.backend.wait([running.handle for running in self._running])
        return [running for running in self._running if running.handle in ready]

    def _finish(self, ended: Running) -> None:
        """Read how a job ended into its entry."""
        job, end = ended.job, ended.handle.end()
        self._running.remove(ended)
        self._on_gpu.subtract(ended.gpus)
        job.ended, job.seconds = now(), round(time.monotonic() - ended.start, 3)
        job.exit_code, job.signal = end.exit_code, end.signal
        said_nothing = f"ended with exit code {end.exit_code} and said nothing"
        folder = self.manifest.job_folder(job)
        outcome = end.outcome or _of_record(folder) or Outcome("failed", error=said_nothing)
        if self.interrupted is not None and outcome.state == "failed":
            outcome = Outcome("interrupted", error="stopped with the sweep")
        job.state, job.error = outcome.state, outcome.error
        if job.state in ENDED:
            self.values[job.number] = outcome.value
            note_score(job, folder, outcome.value)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C asks the jobs to stop, the second kills them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ASKING)}
        # A launcher that nohup or a shell has made deaf to one stays so.
        before = {n: h for n, h in before.items() if n is signal.SIGINT or h is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        again = self.interrupted is not None
        self.interrupted = self.interrupted or signal.Signals(number)
        for running in self._running:
            if again:
                running.handle.kill()
            else:
                running.tell()
        if not again:
            jobs = len(self._running)
            who = "1 job saves its state" if jobs == 1 else f"{jobs} jobs save their state"
            again_too = f"Ctrl-C again kills {'it' if jobs == 1 else 'them'}"
            print(f"\nstopping: {who}; {again_too}", file=sys.stderr, flush=True)


def spread(jobs: Sequence[JobEntry]) -> list[JobEntry]:
    """The order of starts: the first job of every pretraining, then the second, and so on.

    Jobs that would wait for one another's pretraining start late, when it is done.
    """
    seen: Counter[str] = Counter()
    turns = {}
    for job in jobs:
        turns[job.number] = seen[job.shares]
        seen[job.shares] += 1
    return sorted(jobs, key=lambda job: (turns[job.number], job.number))


def _of_record(folder: Path) -> Outcome | None:
    """Of a job that left its record in order, and had no time for more."""
    with suppress(OSError, ValueError, KeyError):
        record = read_json(folder / "run.json")
        if record["status"] in ("failed", "interrupted"):
            return Outcome(record["status"], error=record["error"])
    return None


def note_score(job: JobEntry, folder: Path, value: Any) -> None:
    """A finished job's score, for the lines that people read."""
    job.score = value if isinstance(value, float) else None
    with suppress(OSError, ValueError, KeyError):
        record = read_json(folder / "run.json")
        job.metric = record["metric"]
        job.score = record["scores"][job.metric]
    if isinstance(value, list):
        job.values = [float(one) for one in value]
