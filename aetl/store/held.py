"""What the store holds, and its clearing up: what nobody used for long goes.

Runs keep their own copies of what they made, so nothing of a run is lost: what is removed here is
computed again when it is asked for again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from aetl.store.digests import RECORD

REMOVED = ".removed-"
"""Before the name of what a removal that was cut off left."""


@dataclass(frozen=True)
class Held:
    """An entry of the store, or one that was begun: its stage, bytes, and when it was last used."""

    path: Path
    stage: str
    done: bool
    size: int
    used: float
    """Seconds since 1970."""


def held(folder: Path) -> list[Held]:
    """What a store's folder holds, the longest unused first."""
    entries = (path for path in folder.iterdir() if path.is_dir() and _stage(path))
    return sorted(filter(None, map(_look, entries)), key=lambda entry: entry.used)


def prune(entries: Iterable[Held]) -> list[Held]:
    """Remove entries; those that somebody computes or waits for stay. Returns what went.

    An entry goes whole or not at all: it is first renamed. Its lock goes with it.
    """
    gone = []
    for entry in entries:
        try:
            with _lock(entry.path) as lock:
                away = entry.path.with_name(f"{REMOVED}{entry.path.name}")
                shutil.rmtree(away, ignore_errors=True)
                entry.path.rename(away)
                lock.unlink()
        except (Timeout, FileNotFoundError):  # in use, or another prune was faster
            continue
        shutil.rmtree(away, ignore_errors=True)
        gone.append(entry)
    return gone


def prune_locks(folder: Path) -> None:
    """Remove the locks that no entry has and nobody holds."""
    for lock in folder.glob("*-*.lock"):
        entry = lock.with_suffix("")
        if _stage(entry) and not entry.exists():
            with suppress(Timeout), _lock(entry):
                if not entry.exists():
                    lock.unlink(missing_ok=True)


@contextmanager
def _lock(entry: Path) -> Iterator[Path]:
    """The lock of an entry, held; ``Timeout`` where somebody else holds it.

    Who holds it may remove it: a process that waited for it finds that it is gone, and takes the
    new one of that name (filelock compares the file that it locked with the path).
    """
    path = entry.with_suffix(".lock")
    with FileLock(path, timeout=0):
        yield path


def _look(path: Path) -> Held | None:
    """Nothing where the entry went while it was looked at."""
    files = list(_stats(path))
    used = max((found.st_mtime for found in files), default=0.0)
    with suppress(FileNotFoundError):
        begun = path.stat().st_mtime
        done = (path / RECORD).exists()
        # A finished entry's record is touched at each use; of one that was begun the last write
        # counts.
        used = (path / RECORD).stat().st_mtime if done else used or begun
        return Held(path, _stage(path), done, sum(found.st_size for found in files), used)
    return None


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Of the files of an entry, which its process may be writing or removing."""
    for base, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.stat(os.path.join(base, name))


def _stage(path: Path) -> str:
    """``pretrain`` of ``pretrain-0123456789abcdef``; nothing for other folders."""
    name, _, digest = path.name.rpartition("-")
    is_digest = len(digest) == 16 and set(digest) <= set("0123456789abcdef")
    return name if is_digest and not name.startswith(".") else ""
