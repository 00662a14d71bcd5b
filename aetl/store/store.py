"""Content-addressed results of stages: the same config on the same data is computed once.

The digest of an entry covers the stage's resolved config, the data's fingerprint, the seed, the
sources that the stage and the config's classes reach (``store/code.py``), and torch's version.
Changed code never answers with a stale result. An entry is done when its ``entry.json`` is there;
until then its folder holds the checkpoint that the next attempt continues from. The record holds
the digest of every file, which is checked before an entry is used: what was damaged, swapped or
added is set aside (``NAME.damaged-1``), told, and computed anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from aetl import ranks
from aetl.files import read_json, sealed, write_json
from aetl.place import NoPlace, nearest_folder
from aetl.ranges import Text
from aetl.secret import masked
from aetl.store.code import code_digest
from aetl.store.digests import RECORD, fault, files_of

log = logging.getLogger(__name__)

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Entry:
    """A finished stage: its folder, its digest, and whether it was there before."""

    path: Path
    digest: str
    reused: bool

    @property
    def seconds(self) -> float:
        """How long the stage took when it was computed."""
        return float(read_json(self.path / RECORD)["seconds"])


class Store:
    """The folder of entries; with ``reuse=False`` all is computed again, in the run's folder."""

    def __init__(self, *, dir: Text, reuse: bool) -> None:
        self.dir = Path(dir)
        self.reuse = reuse

    def stage(
        self, name: str, digest: str, key: Mapping[str, Any], folder: Path,
        compute: Callable[[Path], None],
    ) -> Entry:  # fmt: skip
        """A stage's entry; ``compute(path)`` fills its folder where it is not done yet.

        Safe for parallel jobs (one computes, the others wait) and for several ranks (rank 0 looks
        and locks, all compute). The lock is the operating system's: a killed holder lets go of it.
        """
        base = self.dir if self.reuse else folder / "stages"
        path = base / f"{name}-{digest}"
        lock = FileLock(path.with_suffix(".lock"))
        if not ranks.agree(ranks.rank() == 0 and _acquire(lock, path)):
            return self._of_others(path, name, digest, key, folder, compute)
        try:
            done = ranks.agree(ranks.rank() == 0 and _is_done(path))
            if done:
                _touch(path / RECORD)
            else:
                start = time.monotonic()
                compute(path)
                seconds = time.monotonic() - start
                if ranks.rank() == 0:
                    record = {
                        "stage": name,
                        "digest": digest,
                        "seconds": seconds,
                        "key": masked(dict(key)),
                    }
                    write_json(path / RECORD, sealed(record | {"files": files_of(path)}))
            ranks.agree(None)  # nobody reads on before the entry is written
        finally:
            if ranks.rank() == 0:
                with contextlib.suppress(OSError):  # one that was refused leaves nothing
                    path.rmdir()
            lock.release()
        return Entry(path, digest, reused=done)

    def find(self, name: str, digest: str) -> Entry | None:
        """An entry that is done, if there is one; nothing is computed or changed."""
        path = self.dir / f"{name}-{digest}"
        if not (path / RECORD).exists():
            return None
        if (wrong := fault(path)) is not None:
            log.warning("%s/%s; it is left out", path, wrong)
            return None
        return Entry(path, digest, reused=True)

    def _of_others(
        self, path: Path, name: str, digest: str, key: Mapping[str, Any], folder: Path,
        compute: Callable[[Path], None],
    ) -> Entry:  # fmt: skip
        """From a store that may only be read; what it has not is computed in the run's folder."""
        found = ranks.agree(self.find(name, digest) if ranks.rank() == 0 else None)
        if found is not None:
            return found
        if not self.reuse:
            raise PermissionError(errno.EACCES, "cannot be written", str(path.parent))
        _tell_once(self.dir, folder)
        own = Store(dir=str(self.dir), reuse=False)
        return own.stage(name, digest, key, folder, compute)


@cache
def _tell_once(store: Path, folder: Path) -> None:
    log.warning("%s: cannot be written; what it lacks is computed in %s", store, folder)


def _is_done(path: Path) -> bool:
    """Whether an entry can be used. One that is damaged is set aside, and told.

    Its folder is there afterwards. All under the lock: it may have been removed while we waited.
    """
    if (path / RECORD).exists() and (wrong := fault(path)) is not None:
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        path.rename(aside)
        log.warning("%s/%s; set aside as %s, computed anew", path, wrong, aside.name)
    path.mkdir(exist_ok=True)
    return (path / RECORD).exists()


def _acquire(lock: FileLock, path: Path) -> bool:
    """Wait for the lock; false where the folder may only be read."""
    nearest_folder(path.parent, "store.dir")  # refuses a file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # /proc, which takes no folders
        raise NoPlace(f"store.dir={path.parent}: cannot be made there") from None
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        return False
    try:
        try:
            lock.acquire(timeout=1.0)
        except Timeout:
            log.info("waiting for another process that computes %s", path.name)
            lock.acquire()
        if not (path / RECORD).exists():
            path.mkdir(exist_ok=True)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        lock.release()
        return False
    return True


def _touch(record: Path) -> None:
    """So the store knows when an entry was last used."""
    with contextlib.suppress(OSError):  # a store that others own can still be read
        os.utime(record)


def digest_of(key: Mapping[str, Any], module: str) -> str:
    """16 hex digits of a stage's key together with the code that ``module`` computes it with."""
    code = code_digest(module, key)
    return content_digest({"key": key, "code": code, "torch": torch.__version__})


def content_digest(value: Any) -> str:
    """16 hex digits of a JSON value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
