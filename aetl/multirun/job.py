"""One job of a sweep, in a process of its own.

What a job needs lies in its folder (``config.yaml`` resolved, ``.hydra/``), so that a first start,
a retry and a resume days later are the same. Whatever it prints goes to ``job.log``, at the level
of file descriptors, so that the last words of a C library are there too.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aetl.config import with_new_nodes
from aetl.ending import recorded, signal_of, signals_as_exceptions
from aetl.multirun.intermediate import forget
from aetl.trust import reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
EXIT_INTERRUPTED = 130
EXIT_CODES = {"failed": 1, "interrupted": EXIT_INTERRUPTED}
SECONDS_FOR_THE_DYING = 30.0


@dataclass(frozen=True)
class Surroundings:
    """What a process started by a fork server does not inherit from the launcher."""

    environment: Mapping[str, str]
    folder: str
    argv: Sequence[str]

    @staticmethod
    def here() -> Surroundings:
        return Surroundings(dict(os.environ), os.getcwd(), list(sys.argv))

    def enter(self, **more: str) -> None:
        os.environ.clear()
        os.environ.update(self.environment)
        os.environ.update(more)
        os.chdir(self.folder)
        sys.argv = list(self.argv)


@dataclass(frozen=True)
class Work:
    """A try of a job."""

    task: str
    folder: Path
    number_of_try: int
    threads: int
    gpus: tuple[str, ...]  # empty: what is visible stays visible
    surroundings: Surroundings


@dataclass(frozen=True)
class Outcome:
    """What a job says of itself at its end; one that is killed says nothing."""

    state: Literal["done", "pruned", "refused", "failed", "interrupted"]
    value: Any = None
    error: str | None = None


def work(job: Work, launcher: Connection) -> None:
    """The process's main function."""
    # A shell that starts the launcher in the background has it ignore Ctrl-C, and us with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()  # the terminal's Ctrl-C reaches the launcher alone, which passes it on once
    die_with_parent(lambda: os.killpg(0, signal.SIGKILL))
    _be_killed_first()
    redirect(job.folder / "job.log", job.number_of_try)
    if launcher.poll():  # the launcher asked us to stop before we could hear its signal
        outcome = Outcome("interrupted", error="stopped by SIGINT")
    else:
        outcome = _outcome_there(job)
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError):  # the launcher may be gone
        launcher.send(outcome)
    raise SystemExit(EXIT_CODES.get(outcome.state, 0))


def _outcome_there(job: Work) -> Outcome:
    try:
        job.surroundings.enter(**environment_of_threads(job.threads), **visible(job.gpus))
    except OSError as error:
        return cannot_enter(job, error)
    with own_temporary_files():
        return outcome_of(job)


@contextmanager
def own_temporary_files() -> Iterator[None]:
    """What libraries would remove at the end of the interpreter, which a job's process does not
    live to see (W&B's client keeps pictures and tables so), is removed with its folder."""
    tempfile.tempdir = None  # what the fork server found is not what the launcher's variables say
    before = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="aetl-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = os.environ["TMPDIR"] = before


def cannot_enter(job: Work, error: OSError) -> Outcome:
    """Of a job whose relative paths start in a folder that is gone, or cannot be entered."""
    line = f"{job.surroundings.folder}: {error.strerror} (relative paths of the jobs start there)"
    print(f"aetl: {line}", file=sys.stderr)
    return Outcome("failed", error=line)


def environment_of_threads(threads: int) -> dict[str, str]:
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def outcome_of(job: Work) -> Outcome:
    """Do the job, and say how it ended; whatever it raises is printed."""
    try:
        with signals_as_exceptions(), _alone(job.folder), _few_threads(job.threads):
            return Outcome("done", value=_do(job))
    except BaseException as error:
        if end := getattr(error, "ends_as", None):  # aetl.types loads torch, and this file does not
            return Outcome(end, error=str(error) or None)
        traceback.print_exc()
        # Lightning turns Ctrl-C into SystemExit.
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if isinstance(cause, KeyboardInterrupt):
            return Outcome("interrupted", error=f"stopped by {signal_of(cause).name}")
        code = error.code if isinstance(error, SystemExit) else None
        return Outcome("failed", value=code, error=recorded(error))


def _do(job: Work) -> Any:
    """What hydra does around a job, from the files in its folder."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import configure_log, env_override, setup_globals
    from omegaconf import OmegaConf

    setup_globals()
    config = load_config(job.folder)
    HydraConfig.instance().set_config(config)
    node = config.hydra
    configure_log(node.job_logging, node.verbose)
    _set_aside(job.folder / "run.json")
    forget(job.folder)
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    if node.job.chdir:
        os.chdir(job.folder)
    with env_override(node.job.env_set):
        return task_of(job.task)(plain)


def load_config(folder: Path) -> DictConfig:
    """The resolved config of a job with hydra's node in it; its launcher has looked what it names,
    or made it."""
    from hydra.conf import HydraConf
    from omegaconf import DictConfig, OmegaConf, open_dict

    read = OmegaConf.load(folder / "config.yaml")
    assert isinstance(read, DictConfig)
    config = with_new_nodes(read)
    saved = OmegaConf.load(folder / ".hydra" / "hydra.yaml")
    # The types of hydra's own schema (the mode is an enum) are lost in YAML.
    schema = OmegaConf.structured(HydraConf)
    OmegaConf.set_struct(schema, False)  # its env and help groups are no part of the schema
    node = OmegaConf.merge(schema, saved.hydra)
    OmegaConf.set_struct(config, True)
    with open_dict(config):
        config.hydra = node
        config.hydra.runtime.output_dir = str(folder)  # it may have been moved
    return config


def task_of(reference: str) -> Callable[[Any], Any]:
    """The function that ``module:function`` names."""
    module, _, name = reference.partition(":")
    reach(module)
    function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return function


def redirect(log: Path, number_of_try: int) -> None:
    """Output and errors of this process and of its children into a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    if number_of_try > 1:
        os.write(handle, f"--- try {number_of_try} ---\n".encode())
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()


def _set_aside(record: Path) -> None:
    """An earlier try's record, so that this try can claim the folder; ``_alone`` has made sure that
    no earlier try is still alive."""
    if record.exists():
        number = 1 + len(list(record.parent.glob("run.try*.json")))
        record.rename(record.with_name(f"run.try{number}.json"))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until an earlier try, whose launcher was killed, is dead."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".job.lock")
    try:
        held = lock.acquire(timeout=SECONDS_FOR_THE_DYING)
    except Timeout:
        raise RuntimeError(f"{folder}: an earlier try of this job is still running") from None
    with held:
        yield


@contextmanager
def _few_threads(threads: int) -> Iterator[None]:
    """The libraries are loaded already and have read the environment: tell them directly."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(threads):
        yield


def visible(gpus: tuple[str, ...]) -> dict[str, str]:
    """The variable that shows a process these GPUs alone; none for no choice."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}


def die_with_parent(die: Callable[[], Any]) -> None:
    """A launcher that is killed takes its jobs, and the ranks that they started, with it.

    The parent of the operating system's is the fork server, which outlives the launcher as long as
    there are processes of its; so these watch a pipe whose other end the launcher holds.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        die()

    threading.Thread(target=watch, daemon=True).start()


def _be_killed_first() -> None:
    """Where memory runs out the kernel should take a job and not the launcher."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
