"""Before any work: compose and check every job, in parallel, and write what each needs to start."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from aetl.config import ConfigError, check, register_resolvers, resolved
from aetl.ending import ASKING
from aetl.files import file_digest, write_text, yaml_of
from aetl.mistakes import explain
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
    workers = min(len(overrides), len(os.sched_getaffinity(0)))
    numbers = range(first, first + len(overrides))
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(plan,)) as pool:
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
    """What asks this process to end is heard at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ASKING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_PLAN: Plan

CONFIGS = ("config.yaml", ".hydra/hydra.yaml")
"""What a job starts from."""


def _begin(plan: Plan) -> None:
    """Once in each worker."""
    global _PLAN
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the launcher, and it stops us
    die_with_parent(lambda: os._exit(1))
    _PLAN = plan
    plan.surroundings.enter()
    version.setbase(plan.version_base)
    setup_globals()
    register_resolvers()


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
    config = _compose(number, overrides)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(choices, dict)
    plain = resolved(config)
    check(plain, {str(key): value for key, value in choices.items()})
    folder = Path(config.hydra.runtime.output_dir)
    _write(folder, config, plain)
    trainer = plain["trainer"]
    devices = trainer["devices"]
    shared = json.dumps({key: plain.get(key) for key in SHARED}, sort_keys=True, default=str)
    return JobEntry(
        number=number,
        name=name,
        folder=os.path.relpath(folder, _PLAN.folder),
        overrides=list(config.hydra.overrides.task),
        threads=plain["threads"],
        ranks=devices if isinstance(devices, int) and devices > 1 else 1,
        on_gpu=trainer["accelerator"] in ("auto", "gpu", "cuda"),
        shares=hashlib.blake2b(shared.encode(), digest_size=8).hexdigest(),
        digests={name: file_digest(folder / name) for name in CONFIGS},
    )


def _compose(number: int, overrides: Sequence[str]) -> DictConfig:
    """A job's config as hydra's own launchers make it; its folder is fixed here, once."""
    config: DictConfig = _PLAN.loader.load_sweep_config(_PLAN.config, list(overrides))
    with read_write(config), open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.sweep.dir = str(_PLAN.folder)
    HydraConfig.instance().set_config(config)  # for ${hydra:...}, which the subfolder may hold
    folder = str(_PLAN.folder / str(config.hydra.sweep.subdir))
    hidden: Any = HydraConfig.get()  # a copy
    for hydra in (config.hydra, hidden):
        with read_write(hydra), open_dict(hydra):
            hydra.runtime.output_dir = folder
    return config


def _write(folder: Path, config: DictConfig, plain: Mapping[str, Any]) -> None:
    asked = OmegaConf.to_container(config, enum_to_str=True)
    assert isinstance(asked, dict)
    hydra = asked.pop("hydra")
    saved, private = folder / ".hydra", bool(secrets_in(plain))
    texts = {
        folder / "config.yaml": dict(plain),
        saved / "config.yaml": asked,
        saved / "hydra.yaml": {"hydra": hydra},
        saved / "overrides.yaml": hydra["overrides"]["task"],
    }
    for file, value in texts.items():
        write_text(file, yaml_of(value), private)


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
