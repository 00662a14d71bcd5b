"""Before any work: compose and check every job, in parallel, and write what each needs to start."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from textwrap import indent
from typing import Any

from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from aetl.composed_once import Known, remember, remembered
from aetl.config import ConfigError, check, register_resolvers
from aetl.ending import ASKING
from aetl.files import file_digest, write_text, yaml_of
from aetl.mistakes import explain
from aetl.multirun.composed import Composed, Composer
from aetl.multirun.job import Surroundings, die_with_parent
from aetl.multirun.manifest import JobEntry
from aetl.secret import secrets_in

SHARED = (
    "source", "autoencoder", "loss", "pretrain", "optimizer", "scheduler", "trainer", "engine",
    "threads", "split_seed", "seed",
)  # fmt: skip
"""Jobs that agree in these can share one pretraining. Only the order of starts follows from it."""


@dataclass(frozen=True)
class Plan:
    """What the jobs of a sweep have in common: hydra's loader, its config, the sweep's folder."""

    loader: ConfigLoader
    config: DictConfig
    folder: Path
    surroundings: Surroundings
    version_base: str


def prepare(
    plan: Plan, names: Sequence[str], overrides: Sequence[Sequence[str]], first: int,
    context: BaseContext, checked: Callable[[int], None] = lambda _: None,
) -> list[JobEntry]:  # fmt: skip
    """The checked jobs; their folders hold their configs. ``ConfigError`` for the first bad one.

    ``checked`` is told how many are done.
    """
    # A process's first job takes ten times as long as its next ones.
    workers = min(-(-len(overrides) // 8), len(os.sched_getaffinity(0)))
    numbers = range(first, first + len(overrides))
    known = (plan, remembered())
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=known) as pool:
        try:
            jobs = []
            with _signals_later():  # a worker that is being started would be on nobody's list
                found = pool.map(_prepare, numbers, names, overrides)
            for job in found:
                jobs.append(job)
                checked(len(jobs))
        except BrokenProcessPool:
            raise ConfigError(
                "a process that checks the jobs was killed; is memory short?"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
    _refuse_shared_folders(jobs)
    return jobs


@contextmanager
def _signals_later() -> Iterator[None]:
    """What asks this process to end is heard at the end of the block, whichever thread gets it."""
    heard: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # alone may set handlers
    before = {
        one: signal.signal(one, lambda number, _: heard.append(number))
        for one in ((signal.SIGINT, *ASKING) if here else ())
    }
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if heard:
            signal.raise_signal(heard[0])


_COMPOSER: Composer
"""Of this worker."""

CONFIGS = ("config.yaml", ".hydra/hydra.yaml")
"""What a job starts from."""


def _begin(plan: Plan, known: Known) -> None:
    """Once in each worker, which parses no file that the launcher has parsed."""
    global _COMPOSER
    remember(known)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the launcher, and it stops us
    die_with_parent(lambda: os._exit(1))
    plan.surroundings.enter()
    version.setbase(plan.version_base)
    setup_globals()
    register_resolvers()
    _COMPOSER = Composer(plan.loader, plan.config, plan.folder)


def _prepare(number: int, name: str, overrides: Sequence[str]) -> JobEntry:
    try:
        return _checked(number, name, overrides)
    except Exception as error:
        line = explain(error)
        if line is None and not getattr(error, "of_user", False):
            raise
        # The error itself may not survive the way to the launcher; its one line does.
        raise ConfigError(f"job {number} ({name}): {line or error}") from None


def _checked(number: int, name: str, overrides: Sequence[str]) -> JobEntry:
    job = _COMPOSER.compose(number, overrides)
    plain, folder = job.plain, job.folder
    choices = {str(key): value for key, value in job.hydra["runtime"]["choices"].items()}
    check(plain, choices)
    _write(job)
    trainer = plain["trainer"]
    devices = trainer["devices"]
    shared = json.dumps({key: plain.get(key) for key in SHARED}, sort_keys=True, default=str)
    return JobEntry(
        number=number,
        name=name,
        folder=os.path.relpath(folder, _COMPOSER.folder),
        overrides=list(job.hydra["overrides"]["task"]),
        threads=plain["threads"],
        ranks=devices if isinstance(devices, int) and devices > 1 else 1,
        on_gpu=trainer["accelerator"] in ("auto", "gpu", "cuda"),
        shares=hashlib.blake2b(shared.encode(), digest_size=8).hexdigest(),
        digests={name: file_digest(folder / name) for name in CONFIGS},
    )


def _write(job: Composed) -> None:
    saved, private = job.folder / ".hydra", bool(secrets_in(job.plain))
    texts = {
        job.folder / "config.yaml": _yaml("config", job.plain),
        saved / "config.yaml": _yaml("asked", job.asked),
        saved / "hydra.yaml": "hydra:\n" + indent(_yaml("hydra", job.hydra), "  "),
        saved / "overrides.yaml": yaml_of(job.hydra["overrides"]["task"]),
    }
    for file, text in texts.items():
        write_text(file, text, private)


_WRITTEN: dict[tuple[str, str], tuple[str, str]] = {}
"""Of the last job, by file and key: a part of it and its text."""


def _yaml(file: str, value: Mapping[str, Any]) -> str:
    """The text of a file, of which most parts are as in the job before."""
    texts = []
    for key, part in value.items():
        now = repr(part)
        before, text = _WRITTEN.get((file, key), ("", ""))
        if before != now:
            text = yaml_of({key: part})
            _WRITTEN[file, key] = now, text
        texts.append(text)
    return "".join(texts)


def _refuse_shared_folders(jobs: Sequence[JobEntry]) -> None:
    seen: dict[str, JobEntry] = {}
    for job in jobs:
        other = seen.setdefault(job.folder, job)
        if other is not job:
            raise ConfigError(
                f"hydra.sweep.subdir={job.folder}: shared by jobs {other.number} and {job.number}"
            )


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part and part != "-1")
    import torch

    return tuple(str(i) for i in range(torch.cuda.device_count()))
