"""How a command ends: its one line, its exit code, and the signals that end it.

Ctrl-C and a signal that asks a process to go (``kill``, a batch system, a closed terminal) are
exceptions of the main thread, so that everything on the way out is left in order.
"""

from __future__ import annotations

import errno
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
           errno.ENAMETOOLONG, errno.EOPNOTSUPP, errno.EIO, errno.ESTALE)  # fmt: skip
"""What a place says that cannot be read or written."""
_CONTINUES = "the same command continues from its last checkpoint"
_ANEW = "the same command begins anew (store.reuse=false)"
_way_on = _CONTINUES
ASKING = (signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end, besides Ctrl-C."""


def continues(reuse: bool) -> None:
    """Say whether this process's run finds what it has done again: in the store alone."""
    global _way_on
    _way_on = _CONTINUES if reuse else _ANEW


class Terminated(KeyboardInterrupt):
    """A signal asked this process to end; what stops at Ctrl-C stops for this, too."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


class Told(NamedTuple):
    """What the user sees of an end: a line on stderr and the exit code."""

    line: str
    exit_code: int


def told(error: BaseException) -> Told:
    """One line for what went wrong: 2 for what the user can mend, 1 for everything else.

    What was stopped by a signal ends with 128 and the signal's number, as shells have it.
    """
    if isinstance(error, KeyboardInterrupt):
        number = signal_of(error)
        word = "interrupted" if number is signal.SIGINT else f"ended by {number.name}"
        return Told(f"{word}; {_way_on}", 128 + number)
    for cause in _chain(error):
        if (line := _mistake(cause)) is not None:
            return Told(line, 2)
    name = type(error).__name__
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if hasattr(error, "exit_code"):  # told in whole sentences, like the end of a sweep
        return Told(first, int(error.exit_code))
    return Told(f"{name}: {first} (--debug shows where)", 1)


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    return error.number if isinstance(error, Terminated) else signal.SIGINT


def recorded(error: BaseException) -> str:
    """An error as records keep it: the name of its class and its first line."""
    known: str | None = getattr(error, "recorded", None)
    return known or f"{type(error).__name__}: {error}".splitlines()[0]


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or at.__context__


def _mistake(error: BaseException) -> str | None:
    """The line for what the user can mend."""
    from aetl.mistakes import explain

    if (explained := explain(error)) is not None:
        return explained
    if getattr(error, "of_user", False):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error.filename or 'writing'}: {error.strerror}; nothing half-written was kept"
    if isinstance(error, OSError) and error.errno in _PLACES and error.filename:
        return f"{error.filename2 or error.filename}: {error.strerror}"
    return _exhausted(error)


_NO_MEMORY = re.compile(
    "out of memory|(?:cannot|can.?t) allocate memory|failed to map segment|bad_alloc", re.I
)


def _exhausted(error: BaseException) -> str | None:
    """The line for what this machine, or this user of it, has no more of."""
    number = getattr(error, "errno", None)
    if (
        isinstance(error, MemoryError)
        or number == errno.ENOMEM
        or (isinstance(error, RuntimeError | ImportError) and _NO_MEMORY.search(str(error)))
    ):
        whose = "GPU's memory" if "CUDA" in str(error) else "memory"
        return (
            f"the {whose} is full; a smaller batch_size, network or data set needs less, and so do "
            "fewer jobs at once (hydra.launcher.jobs)"
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open; raise the limit (ulimit -n), or have fewer jobs at once"
    if number == errno.EAGAIN or "can't start new thread" in str(error):
        return "no further process or thread is allowed (ulimit -u); have fewer jobs at once"
    return None


@dataclass(frozen=True)
class Failure:
    """Why a run of several processes ended: the word of the rank that failed first."""

    rank: int
    line: str
    exit_code: int
    recorded: str
    ends_as: Literal["pruned", "refused"] | None = None
    number: int | None = None
    """The signal that asked it to end."""

    @property
    def status(self) -> Literal["interrupted", "failed", "pruned", "refused"]:
        """As records have it."""
        return "interrupted" if self.number is not None else self.ends_as or "failed"

    @staticmethod
    def of(error: BaseException, rank: int, log: Path) -> Failure:
        line, code = told(error)
        if rank and code == 1:
            line = line.replace("--debug shows where", f"see {log}")
        number = None
        if isinstance(error, KeyboardInterrupt):
            number = getattr(error, "number", signal.SIGINT)
        return Failure(rank, line, code, recorded(error), getattr(error, "ends_as", None), number)

    @staticmethod
    def lost(rank: int, how: str) -> Failure:
        line = f"rank {rank} {how}; {_way_on}"
        return Failure(rank, line, 1, f"RankFailed: rank {rank} {how}")

    @staticmethod
    def asked(rank: int, number: int) -> Failure:
        """Of a rank that a signal asked to end."""
        return Failure.of(
            KeyboardInterrupt() if number == signal.SIGINT else Terminated(number), rank, Path()
        )

    def error(self) -> BaseException:
        """What rank 0 raises for it."""
        if self.number is not None:
            return KeyboardInterrupt() if self.number == signal.SIGINT else Terminated(self.number)
        return RankFailed(self)


class RankFailed(Exception):
    """Another process of the run failed; told as if this one had."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.line)
        self.exit_code, self.recorded = failure.exit_code, failure.recorded
        if failure.ends_as is not None:
            self.ends_as = failure.ends_as


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Within the block a signal that asks to end raises ``Terminated`` in the main thread.

    One that is ignored (``nohup``) or that somebody else handles stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ASKING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> Any:
    raise Terminated(number)
