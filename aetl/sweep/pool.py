"""Runs the jobs of a sweep, each in a fresh process, some at a time.

A job that raises, segfaults or is killed takes only itself down. Every change of a state is in the
manifest before anything else happens, so that whatever stops the launcher can be resumed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from aetl.files import read_json
from aetl.sweep.job import Outcome, Surroundings, Work, environment_of_threads, work
from aetl.sweep.manifest import ENDED, JobEntry, Manifest, now
from aetl.sweep.progress import Progress


def start_server(threads: int, also: Sequence[str] = ()) -> BaseContext:
    """A context whose processes are forked from a server that has imported what jobs need.

    The server imports while the launcher goes on. Where there is no fork, processes are spawned.
    ``threads`` is for the libraries that read it when they are loaded.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing.forkserver import ensure_running

    from hydra.core.utils import env_override

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aetl.sweep.preload", *also])
    with env_override(environment_of_threads(threads)):
        ensure_running()
    return context


@dataclass
class Running:
    """A job that has a process now."""

    job: JobEntry
    process: Any  # a context's Process; typeshed has no common type for it
    outcome: Connection
    gpus: tuple[str, ...]
    start: float
    told: bool = False  # that it should stop

    def tell(self) -> None:
        self.told = True
        with suppress(OSError):  # it has ended in the meantime
            os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the job and the ranks that it started."""
        with suppress(OSError):
            os.kill(self.process.pid, signal.SIGKILL)
            os.killpg(self.process.pid, signal.SIGKILL)


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
        self, manifest: Manifest, context: BaseContext, gpus: Sequence[str], progress: Progress
    ) -> None:
        self.manifest, self.context, self.progress = manifest, context, progress
        self.interrupted = False
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
                while not self.interrupted and (job := self._next(waiting, supply)):
                    waiting.remove(job)
                    self._start(job)
                if not self._running:
                    return
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
                    self.manifest.save()
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
        used = sum(running.job.threads * running.job.ranks for running in self._running)
        return used + job.threads * job.ranks <= self._cores

    def _start(self, job: JobEntry) -> None:
        job.state, job.tries, job.started = "running", job.tries + 1, now()
        job.ended = job.seconds = job.exit_code = job.signal = job.error = job.score = None
        self.manifest.save()
        gpus = self._take_gpus(job)
        surroundings = Surroundings(dict(os.environ), self.manifest.cwd, self.manifest.command)
        folder = self.manifest.job_folder(job).absolute()
        what = Work(self.manifest.task, folder, job.tries, job.threads, gpus, surroundings)
        here, there = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(what, there), name=f"job-{job.number}")  # type: ignore[attr-defined]
        process.start()
        there.close()
        running = Running(job, process, here, gpus, time.monotonic())
        self._running.append(running)
        if self.interrupted and not running.told:  # while it was being started
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
        # With a time limit, since a signal's handler runs only between two calls.
        ready = wait([running.process.sentinel for running in self._running], timeout=0.5)
        return [running for running in self._running if running.process.sentinel in ready]

    def _finish(self, ended: Running) -> None:
        """Read how a job ended into its entry."""
        job, process = ended.job, ended.process
        process.join()
        self._running.remove(ended)
        self._on_gpu.subtract(ended.gpus)
        job.ended, job.seconds = now(), round(time.monotonic() - ended.start, 3)
        code = process.exitcode
        job.exit_code = code
        outcome = _received(ended.outcome) if code is not None and code >= 0 else None
        if code is not None and code < 0:
            job.signal = _signal_name(-code)
            outcome = Outcome("failed", error=_last_words(job.signal))
            with suppress(OSError):  # the ranks that it started
                os.killpg(process.pid, signal.SIGTERM)
        outcome = outcome or Outcome(
            "failed", error=f"ended with exit code {code} and said nothing"
        )
        if self.interrupted and outcome.state == "failed":
            outcome = Outcome("interrupted", error="stopped with the sweep")
        job.state, job.error = outcome.state, outcome.error
        if job.state in ENDED:
            self.values[job.number] = outcome.value
            note_score(job, self.manifest.job_folder(job), outcome.value)
        process.close()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C asks the jobs to stop, the second kills them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        again, self.interrupted = self.interrupted, True
        for running in self._running:
            if again:
                running.kill()
            else:
                running.tell()
        if not again:
            text = f"stopping: {len(self._running)} jobs save their state; Ctrl-C again kills them"
            print(f"\n{text}", file=sys.stderr, flush=True)


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


def note_score(job: JobEntry, folder: Path, value: Any) -> None:
    """A finished job's score, for the lines that people read."""
    job.score = value if isinstance(value, float) else None
    with suppress(OSError, ValueError, KeyError):
        record = read_json(folder / "run.json")
        job.metric = record["metric"]
        job.score = record["scores"][job.metric]
    if isinstance(value, list):
        job.values = [float(one) for one in value]


def _received(outcome: Connection) -> Outcome | None:
    with outcome:
        try:  # a process that the job has left behind may hold the other end: do not wait for it
            received = outcome.recv() if outcome.poll() else None
        except Exception:  # it ended before it said anything, or says what cannot be read
            return None
    return received if isinstance(received, Outcome) else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _last_words(name: str) -> str:
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
