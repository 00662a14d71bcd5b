"""Content-addressed results of stages: the same config on the same data is computed once.

The digest of an entry covers the stage's resolved config, the data's fingerprint, the seed, the
sources that the stage and the config's classes reach (``store/code.py``), and torch's version.
Changed code never answers with a stale result. An entry is done when its ``entry.json`` is there;
until then its folder holds the checkpoint that the next attempt continues from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from aetl import ranks
from aetl.files import read_json, write_json
from aetl.ranges import Text
from aetl.store.code import code_digest

log = logging.getLogger(__name__)

RECORD = "entry.json"


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
        base.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        if ranks.rank() == 0:
            _acquire(lock, path)
        try:
            if ranks.rank() == 0:  # under the lock: it may have been removed while we waited
                path.mkdir(exist_ok=True)
            done = ranks.agree((path / RECORD).exists())
            if done:
                _touch(path / RECORD)
            else:
                start = time.monotonic()
                compute(path)
                seconds = time.monotonic() - start
                if ranks.rank() == 0:
                    record = {"stage": name, "digest": digest, "seconds": seconds, "key": dict(key)}
                    write_json(path / RECORD, record)
            ranks.agree(None)  # nobody reads on before the entry is written
        finally:
            if ranks.rank() == 0:
                with contextlib.suppress(OSError):  # one that was refused leaves nothing
                    path.rmdir()
            lock.release()
        return Entry(path, digest, reused=done)


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        log.info("waiting for another process that computes %s", path.name)
        lock.acquire()


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
