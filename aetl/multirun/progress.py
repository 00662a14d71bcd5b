"""What a person sees of a running sweep, on stderr: a line that lives, or a line for each job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from aetl.multirun.manifest import ENDED, JobEntry, Manifest, shown
from aetl.printable import one_line
from aetl.terminal import console, styled

if TYPE_CHECKING:
    from rich.console import RenderableType


class Progress(Protocol):
    """Is told of every change of a job's state."""

    def started(self, job: JobEntry) -> None: ...
    def ended(self, job: JobEntry) -> None: ...
    def say(self, line: str) -> None: ...
    def close(self) -> None: ...


def progress_of(jobs: int) -> Progress:
    """The display that fits where stderr goes; ``jobs`` will run."""
    return Live(jobs) if sys.stderr.isatty() else Lines(jobs)


@contextmanager
def checking(jobs: int) -> Iterator[Callable[[int], None]]:
    """Tell a person that the jobs are being checked; it takes how many are."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def text(done: int) -> str:
        return f"checking {_counter(done, jobs)} jobs"

    with console(stderr=True).status(text(0)) as status:
        yield lambda done: status.update(text(done))


class Lines:
    """A plain line for every finished job."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def started(self, job: JobEntry) -> None:
        pass

    def ended(self, job: JobEntry) -> None:
        if job.state == "waiting":
            self.say(f"{_counter(self.done, self.total)} again {line_of(job)}")
            return
        self.done += 1
        self.say(f"{_counter(self.done, self.total)} {line_of(job)}")

    def say(self, line: str) -> None:
        print(one_line(line), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class Live:
    """``done/total, failed, eta`` and the names of the running jobs; failures stay above it."""

    def __init__(self, total: int) -> None:
        from rich.live import Live as RichLive

        self.total, self.done, self.failed = total, 0, 0
        self._running: dict[int, str] = {}
        self._start = self._last = time.monotonic()
        self._console = console(stderr=True)
        self._live = RichLive(
            get_renderable=self._line, console=self._console, refresh_per_second=2, transient=True
        )
        self._live.start()

    def started(self, job: JobEntry) -> None:
        self._running[job.number] = job.name

    def ended(self, job: JobEntry) -> None:
        self._running.pop(job.number, None)
        self.done += job.state in (*ENDED, "failed")
        self.failed += job.state == "failed"
        self._last = time.monotonic()
        if job.state != "done":
            self.say(line_of(job))

    def say(self, line: str) -> None:
        self._console.print(line)

    def close(self) -> None:
        self._live.stop()

    def _line(self) -> RenderableType:
        line = styled(
            (f"{self.done}/{self.total}", "bold"),
            (f"  {self.failed} failed", "red" if self.failed else "dim"),
            (f"  eta {self._eta(time.monotonic())}  ", "cyan"),
            (" · ".join(self._running.values()), "dim"),
        )
        line.overflow, line.no_wrap = "ellipsis", True
        return line

    def _eta(self, now: float) -> str:
        """Counted down since the last job ended; never less than what has not begun will take."""
        if self.done == 0:
            return "?"
        each = (self._last - self._start) / self.done
        left = self.total - self.done
        seconds = max(each * left - (now - self._last), each * (left - len(self._running)))
        return duration(round(seconds))


def line_of(job: JobEntry) -> str:
    """``ok  parameter/finetune budget=100 seed=2  accuracy 0.81  3.2 s``."""
    word = {"done": "ok", "waiting": "failed"}.get(job.state, job.state)
    parts = [word, job.name]
    if job.values is not None:
        parts.append(" ".join(f"{value:.4g}" for value in job.values))
    elif job.score is not None:
        parts.append(f"{job.metric or 'value'} {job.score:.4g}")
    if job.state != "done":
        parts.append(job.error or "")
    if job.seconds is not None:
        parts.append(duration(job.seconds))
    return "  ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """``3.2 s``, ``4 min``, ``1 h 20 min``."""
    if seconds < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def print_failures(manifest: Manifest) -> None:
    """A table of the jobs that did not finish, each with the log that holds its traceback."""
    bad = [job for job in manifest.jobs if job.state in ("failed", "interrupted")]
    if not bad:
        return
    from rich.table import Table

    table = Table(
        title=f"{len(bad)} of {len(manifest.jobs)} jobs did not finish", title_style="bold red"
    )
    for heading in ("job", "name", "state", "error", "log"):
        table.add_column(heading, overflow="fold")
    for job in bad:
        log = shown(manifest.job_folder(job) / "job.log")
        table.add_row(str(job.number), job.name, job.state, job.error or "", log)
    # A log file has no width: its lines should not be folded at 80 columns.
    width = None if sys.stderr.isatty() else 200
    console(stderr=True, width=width).print(table)


def _counter(done: int, total: int) -> str:
    return f"[{done:>{len(str(total))}}/{total}]"
