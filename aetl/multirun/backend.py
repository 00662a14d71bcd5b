"""Where the jobs of a sweep run: what a pool asks of such a place, and this machine's processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Protocol

from aetl.multirun.job import Outcome, Work, environment_of_threads, work
from aetl.types import UserError


@dataclass(frozen=True)
class End:
    """How a job's process ended; ``outcome`` is ``None`` where it said nothing."""

    outcome: Outcome | None
    exit_code: int | None = None
    signal: str | None = None


class Handle(Protocol):
    """A job that has been started."""

    def tell(self) -> None:
        """Ask it to save its state and stop."""

    def kill(self) -> None:
        """Kill it and the ranks that it started."""

    def end(self) -> End:
        """How it ended; asked once, when it has."""


class Backend(Protocol):
    """A place where jobs run."""

    @property
    def local(self) -> bool:
        """Whether its jobs share the cores and the GPUs of this machine among them."""

    def start(self, what: Work, name: str) -> Any:
        """The handle of a job that begins now, or when the place has room for it."""

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        """Those that have ended, after at most about half a second."""


@cache
def _servers_folder() -> tempfile.TemporaryDirectory[str]:
    """For temporary files of the fork server; it goes with this process. Some libraries make such a
    folder when they are imported, and the server does not live to see their tidying up."""
    return tempfile.TemporaryDirectory(prefix="aetl-", ignore_cleanup_errors=True)


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
    context.set_forkserver_preload(["aetl.multirun.preload", *also])
    with env_override(environment_of_threads(threads) | {"TMPDIR": _servers_folder().name}):
        try:
            ensure_running()
        except OSError as error:
            if "AF_UNIX" not in str(error):
                raise
            raise UserError(
                f"TMPDIR={tempfile.gettempdir()}: too long a path for the sockets below it (they "
                "have 107 bytes); set TMPDIR to a shorter one"
            ) from None
    return context


class Processes:
    """A fresh process of this machine for each job, of the context that ``start_server`` gave."""

    local = True

    def __init__(self, context: BaseContext) -> None:
        self.context = context

    def start(self, what: Work, name: str) -> Process:
        here, there = self.context.Pipe()
        process = self.context.Process(target=work, args=(what, there), name=name)  # type: ignore[attr-defined]
        process.start()
        there.close()
        return Process(process, here)

    def wait(self, handles: Sequence[Process]) -> list[Process]:
        # With a time limit, since a signal's handler runs only between two calls.
        ready = wait([handle.process.sentinel for handle in handles], timeout=0.5)
        return [handle for handle in handles if handle.process.sentinel in ready]


class Process:
    """A job in a process of this machine."""

    def __init__(self, process: Any, outcome: Connection) -> None:
        self.process = process  # a context's Process; typeshed has no common type for it
        self._outcome = outcome

    def tell(self) -> None:
        with suppress(OSError):  # it has ended in the meantime
            self._outcome.send("stop")  # for one that begins, and does not hear the signal yet
            os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        with suppress(OSError):
            os.kill(self.process.pid, signal.SIGKILL)
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> End:
        self.process.join()
        code = self.process.exitcode
        name = None
        outcome = _received(self._outcome) if code is not None and code >= 0 else None
        if code is not None and code < 0:
            name = _signal_name(-code)
            outcome = Outcome("failed", error=_last_words(name))
            with suppress(OSError):  # the ranks that it started
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.close()
        return End(outcome, code, name)


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
