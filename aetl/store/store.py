"""Content-addressed results of stages: the same config on the same data is computed once.

The digest of an entry covers the stage's resolved config, the data's fingerprint, the seed, the
sources of the folders that compute and of the user's own classes, and torch's version. Changed code
never answers with a stale result. An entry is done when its ``entry.json`` is there; until then its
folder holds the checkpoint that the next attempt continues from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from aetl import ranks
from aetl.files import read_json, write_json

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent.parent
_COMPUTES = ("ranks.py", "rng.py", "types.py", "data", "backbone", "corruption", "bottleneck",
             "autoencoder", "loss", "task", "metric", "selector", "transfer", "stage")  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A finished stage: its folder, its digest, and whether it was there before."""

    path: Path
    digest: str
    reused: bool

    @property
    def seconds(self) -> float:
        """How long the stage took when it was computed."""
        return float(read_json(self.path / "entry.json")["seconds"])


class Store:
    """The folder of entries; with ``reuse=False`` all is computed again, in the run's folder."""

    def __init__(self, *, dir: str, reuse: bool) -> None:
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
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        if ranks.rank() == 0:
            _acquire(lock, path)
        try:
            done = ranks.agree((path / "entry.json").exists())
            if not done:
                start = time.monotonic()
                compute(path)
                seconds = time.monotonic() - start
                if ranks.rank() == 0:
                    record = {"stage": name, "digest": digest, "seconds": seconds, "key": dict(key)}
                    write_json(path / "entry.json", record)
            ranks.agree(None)  # nobody reads on before the entry is written
        finally:
            lock.release()
        return Entry(path, digest, reused=done)


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        log.info("waiting for another process that computes %s", path.name)
        lock.acquire()


def digest_of(key: Mapping[str, Any]) -> str:
    """16 hex digits of a stage's key together with the code that computes it."""
    whole = {
        "key": key,
        "code": _code_digest(),
        "torch": torch.__version__,
        "user": _user_code(key),
    }
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@cache
def _code_digest() -> str:
    files = [f for name in _COMPUTES for f in sorted((_PACKAGE / name).rglob("*.py"))]
    files += [_PACKAGE / name for name in _COMPUTES if name.endswith(".py")]
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        digest.update(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()


def _user_code(key: Any) -> dict[str, str]:
    """Digests of the files of ``_target_`` classes that are neither aetl's nor installed."""
    found: dict[str, str] = {}
    if isinstance(key, Mapping):
        target = key.get("_target_")
        if isinstance(target, str) and not target.startswith("aetl."):
            found |= _source_digest(target)
        key = list(key.values())
    if isinstance(key, (list, tuple)):
        for value in key:
            found |= _user_code(value)
    return found


def _source_digest(target: str) -> dict[str, str]:
    module, spec = target, None
    while spec is None and "." in module:  # more than once for a class inside a class
        module = module.rpartition(".")[0]
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return {}
    if "site-packages" in spec.origin:
        return {}
    return {target: hashlib.blake2b(Path(spec.origin).read_bytes(), digest_size=8).hexdigest()}
