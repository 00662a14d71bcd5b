"""``run.json`` and its folder: what a run was, what it did, how it ended.

The folder is the truth; W&B and others get copies. A folder belongs to one run: it is claimed by
creating ``run.json`` exclusively.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from aetl import ranks, trust
from aetl.comparison.kinds import misfit
from aetl.comparison.run import ALIVE, ALTERED, status_now
from aetl.ending import Failure, recorded
from aetl.files import (
    copy,
    file_digest,
    hold,
    is_altered,
    read_json,
    sealed,
    write_json,
    write_text,
)
from aetl.secret import masked_words, secrets_in
from aetl.store.code import own_code, package_digest
from aetl.store.store import Entry
from aetl.tracking.base import Status, status_of
from aetl.tracking.history import Listener
from aetl.types import UserError
from aetl.version import __version__

log = logging.getLogger(__name__)

VERSIONED = ("torch", "torchvision", "pytorch_lightning", "hydra", "omegaconf", "wandb", "sklearn")

WEIGHTS = (
    "autoencoder.pt", "network.safetensors", "head.safetensors", "objective.safetensors"
)  # fmt: skip
"""Of a stage's files those that a run keeps: the rest of it is the config's."""


@dataclass(frozen=True)
class Job:
    """A run to be done: its config, its folder, and how it was asked for.

    With ``fresh`` nothing is taken from the store, whatever the config says. ``watch`` sees the
    rows of every stage while it trains, and may stop the run by raising ``Pruned``. Without
    ``page`` its figures and its page are made when a tracker or somebody asks for them.
    """

    cfg: DictConfig
    folder: Path
    choices: Mapping[str, Any]
    overrides: Sequence[str]
    command: Sequence[str]
    fresh: bool = False
    watch: Listener | None = None
    page: bool = True


class Record:
    """The record of a run, written at every change. Ranks other than the first write nothing."""

    def __init__(self, job: Job) -> None:
        self.folder = job.folder
        self.writes = not ranks.is_child()
        self._start = time.monotonic()
        settings = _settings(job.cfg)
        self.values: dict[str, Any] = {
            "version": 1,
            "status": "running",
            "command": masked_words(job.command),
            "overrides": masked_words(job.overrides),
            "choices": dict(job.choices),
            "started": _now(),
            "pid": os.getpid(),
            "seconds": {},
            "paths": trust.places(),
            **environment(),
            "own_code": own_code(settings),
            "error": None,
        }
        if self.writes:
            self._claim(job, settings)

    def _claim(self, job: Job, settings: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.folder / "run.json", "x"):
                pass
        except FileExistsError:
            raise UserError(f"{self.folder}: belongs to another run already") from None
        self._alive = hold(self.folder / ALIVE)  # before a record says "running"
        write_json(self.folder / "run.json", sealed(self.values))
        typed = secrets_in(settings)
        text = OmegaConf.to_yaml(_own(job.cfg), resolve=True)
        write_text(self.folder / "config.yaml", text, private=bool(typed))
        for key in typed:
            log.warning(
                "%s: its value stands in config.yaml, which reruns and predictions start from (you "
                "alone can read it); a class that reads it from the environment leaves it nowhere",
                key,
            )
        diff = _git_output("diff", "HEAD")
        if diff:
            write_text(self.folder / "git.diff", diff)

    def update(self, **values: Any) -> None:
        """Add to the record; ``seconds`` is merged."""
        seconds = self.values["seconds"] | values.pop("seconds", {})
        self.values |= values | {"seconds": seconds}
        if self.writes:
            self._refuse_moved()
            write_json(self.folder / "run.json", sealed(self.values))

    def _refuse_moved(self) -> None:
        """``UserError`` where the folder has another name by now, or none: else a second one would
        be made in its place, with a part of the run."""
        if not (self.folder / "run.json").exists():
            raise UserError(
                f"{self.folder}: was moved or removed while the run worked in it; the same command "
                "goes on from what is in the store"
            )

    def stage_done(self, stage: str, entry: Entry | None) -> None:
        """Note where a stage's result lies and how long it took; keep a copy of its weights."""
        if entry is None:
            return
        parents = self.values.get("parents", {}) | {stage: entry.digest}
        reused = self.values.get("reused", {}) | {stage: entry.reused}
        self.update(parents=parents, reused=reused, seconds={stage: entry.seconds})
        if self.writes:
            for name in WEIGHTS if stage != "twin" else ():
                if (entry.path / name).exists():
                    copy(entry.path / name, self.folder / "checkpoints" / name)

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end(status_of(error), None if error is None else recorded(error))
        except (OSError, UserError):
            if error is None:
                raise

    def last(self, failure: Failure) -> None:
        """What is left to do where the main thread cannot be reached: the state and the line."""
        self._end(failure.status, failure.recorded)
        print(f"aetl: {failure.line}", file=sys.stderr, flush=True)

    def _end(self, status: Status, error: str | None) -> None:
        total = time.monotonic() - self._start
        if self.writes and status == "done":
            self.values["digests"] = _digests(self.folder)
        try:
            self.update(status=status, error=error, ended=_now(), seconds={"total": total})
            if self.writes:
                (self.folder / ALIVE).unlink(missing_ok=True)
        finally:  # where the record could not be written it says "running": then it was killed
            if self.writes:
                self._alive.close()


def _own(cfg: DictConfig) -> DictConfig:
    """Without what is hydra's."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _settings(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(_own(cfg), resolve=True)


def read_record(folder: Path) -> dict[str, Any]:
    """The record in a run's folder."""
    try:
        record: Any = read_json(folder / "run.json")
    except FileNotFoundError:
        raise UserError(f"{folder}: not a run's folder (it has no run.json)") from None
    except (ValueError, RecursionError):
        raise UserError(f"{folder / 'run.json'}: cannot be read as JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise UserError(f"{folder / 'run.json'}: is not the record of a run (no status)")
    refuse_altered(folder, record)
    if (wrong := misfit(record)) is not None:
        raise UserError(f"{folder / 'run.json'}: holds {wrong}")
    return record | {"status": status_now(folder, record)}


def refuse_altered(folder: Path, record: Mapping[str, Any]) -> None:
    """``UserError`` that names the first file of a finished run that is not what it wrote."""
    if is_altered(record):
        raise UserError(f"{folder / 'run.json'}: {ALTERED}")
    digests = record.get("digests")
    for name, digest in digests.items() if isinstance(digests, dict) else ():
        try:
            same = file_digest(folder / name) == digest
        except FileNotFoundError:
            continue  # who needs it says so; others may have taken it away to save room
        if not same:
            raise UserError(f"{folder / name}: {ALTERED}")


def _digests(folder: Path) -> dict[str, str]:
    """Of the files of a run that others are computed from."""
    names = ("config.yaml", "model.json", "*.npz", "checkpoints/*")
    found = sorted(path for name in names for path in folder.glob(name) if path.is_file())
    return {str(path.relative_to(folder)): file_digest(path) for path in found}


def environment() -> dict[str, Any]:
    """Code, versions and hardware, as far as they may change a result."""
    return {"git": _git(), "versions": _versions(), "hardware": _hardware()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git() -> dict[str, Any] | None:
    commit = _git_output("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git_output("status", "--porcelain"))}


@cache
def _git_output(*arguments: str) -> str:
    """What git says of the code that runs (not of the folder that the user stands in), asked once:
    a process's code stays what it was when it began."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parents[1]), *arguments],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


_sources = cache(package_digest)


def _versions() -> dict[str, str]:
    found = {
        "aetl": __version__,
        "sources": _sources(),
        "python": platform.python_version(),
    }
    for name in VERSIONED:
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", "?"))
    return found


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "gpu": gpus,
        "host": platform.node(),
    }
