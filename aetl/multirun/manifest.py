"""``manifest.json``: a sweep is a folder, its jobs and their states.

What becomes of a job while the sweep runs is a line at the end of ``manifest.jsonl``, which belongs
to one manifest by its digest; where the sweep ends, the manifest holds it and the lines go.
The folder is claimed exclusively and belongs to one sweep. Whoever works on it holds its lock,
which is the operating system's: a killed launcher lets go of it, and its jobs die with it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from aetl.config import ConfigError
from aetl.files import append, is_altered, read_json, sealed, write_json, write_text
from aetl.foreign import refuse_endless
from aetl.secret import has_secrets, masked_hydra, masked_words

State = Literal["waiting", "running", "done", "pruned", "refused", "failed", "interrupted"]
STATES: tuple[State, ...] = get_args(State)
ENDED: tuple[State, ...] = ("done", "pruned", "refused")
"""The states of a job that needs nothing more: a search gives some up on purpose, and some
of a grid are combinations that cannot be."""


VERSION = 1
JOURNAL = "manifest.jsonl"
TASK = "aetl.launch:_task"
"""What a job of a sweep does: a function by name, since a process that starts later finds it so."""


class SweepRefused(ConfigError):
    """A folder that is no sweep's, or another's."""


@dataclass
class JobEntry:
    """A job of a sweep: what it is, what it needs, and how it went so far."""

    number: int
    name: str
    folder: str  # inside the sweep's folder
    overrides: list[str]
    threads: int
    ranks: int
    on_gpu: bool
    shares: str  # equal for the jobs that can share one pretraining
    digests: dict[str, str] = field(default_factory=dict)  # of its configs, by path in its folder
    state: State = "waiting"
    tries: int = 0
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    metric: str | None = None
    score: float | None = None
    trial: int | None = None  # its number in the sweep's study
    values: list[float] | None = None  # of the study's objectives


@dataclass
class Manifest:
    """The jobs of a sweep; ``save`` writes the whole of it, ``note`` what became of one job."""

    folder: Path
    command: list[str]
    cwd: str  # relative paths in the configs start here
    paths: list[str]  # where users' own classes are found
    task: str  # "module:function", what a job does
    jobs_at_once: int | None  # None: as many as the cores allow
    retries: int
    started: str
    ended: str | None = None
    backend: dict[str, Any] | None = None  # where jobs run, if not in processes of this machine
    study: str | None = None  # the name of the search that makes the jobs, if one does
    jobs: list[JobEntry] = field(default_factory=list)
    check: str | None = None  # of the file that was written or read last

    def save(self) -> None:
        values = {"version": VERSION} | asdict(self)
        del values["folder"], values["check"]
        written = sealed(values)
        write_json(self.folder / "manifest.json", written, private=self._is_private(*self.jobs))
        self.check = written["check"]
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def note(self, job: JobEntry) -> None:
        """Keep what became of a job, or that there is one more; a line that a full disk cuts off
        is taken back."""
        line = json.dumps(sealed({"after": self.check, "job": asdict(job)})) + "\n"
        append(self.folder / JOURNAL, line.encode(), private=self._is_private(job))

    def _is_private(self, *jobs: JobEntry) -> bool:
        """Whether its command or the overrides of ``jobs`` hold the value of a secret key."""
        return has_secrets((*self.command, *(word for job in jobs for word in job.overrides)))

    @staticmethod
    def load(folder: Path) -> Manifest:
        """The manifest in a sweep's folder; ``SweepRefused`` where there is none."""
        path = folder / "manifest.json"
        try:
            values = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            raise SweepRefused(
                f"{folder}: not a sweep's folder (it has no manifest.json)"
            ) from None
        except ValueError:
            if path.stat().st_size == 0:
                raise SweepRefused(
                    f"{folder}: the sweep ended before its jobs were checked"
                ) from None
            raise SweepRefused(f"{path}: cannot be read as JSON") from None
        if not isinstance(values, dict):
            raise SweepRefused(f"{path}: is not the manifest of a sweep")
        if is_altered(values):
            raise SweepRefused(
                f"{path}: is not what the sweep wrote (damaged, or edited); restore it, or start "
                "the sweep again in another folder (what it has computed is in the store)"
            )
        if (version := values.pop("version", VERSION)) != VERSION:
            raise SweepRefused(f"{path}: has version {version}, this aetl reads {VERSION}")
        if isinstance(values.get("jobs"), list):  # the last word of each job counts
            values["jobs"] += _noted(folder / JOURNAL, values.get("check"))
        manifest = _of_kinds(path, values | {"folder": folder})
        jobs = {job.number: job for job in manifest.jobs}
        manifest.jobs = [jobs[number] for number in sorted(jobs)]
        return manifest

    def job_folder(self, job: JobEntry) -> Path:
        return self.folder / job.folder


def _of_kinds(file: Path, values: Any) -> Manifest:
    """A manifest whose values are of the kinds that they should be, or ``SweepRefused``."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Manifest).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        line = first["msg"][:1].lower() + first["msg"][1:]
        raise SweepRefused(
            f"{file}: is not the manifest of a sweep of this aetl ({where}: {line})"
        ) from None


def _noted(file: Path, check: str | None) -> Iterator[Any]:
    """What a journal adds to the manifest of this digest; a last line that was cut off is none."""
    if not file.exists():
        return
    refuse_endless(file)
    for line in file.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not isinstance(values, dict) or "check" not in values or is_altered(values):
            raise SweepRefused(
                f"{file}: is not what the sweep wrote (damaged, or edited); remove it (what its "
                "jobs have computed is in the store)"
            )
        if values.get("after") == check:
            yield values.get("job")


def counts(jobs: Iterable[JobEntry]) -> dict[State, int]:
    """How many jobs are in each state."""
    states = [job.state for job in jobs]
    return {state: states.count(state) for state in STATES}


def mark_cut_off(manifest: Manifest) -> None:
    """Without a launcher nothing runs: what the manifest calls running was cut off."""
    for job in manifest.jobs:
        if job.state == "running":
            job.state, job.error = "interrupted", "cut off with its launcher"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Claim:
    """A new sweep's folder, made exclusively: two sweeps never share one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(path.name != "manifest.json" for path in folder.iterdir()):
                raise FileExistsError
            with open(folder / "manifest.json", "x"):  # of two at the same moment one gets it
                pass
        except (FileExistsError, NotADirectoryError):
            raise SweepRefused(_taken(folder)) from None

    def give_back(self) -> None:
        """Remove all that a refused sweep has made."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that others have begun to use stays
            for path in self._made:
                path.rmdir()


def _taken(folder: Path) -> str:
    if (folder / "manifest.json").is_file():
        return f"hydra.sweep.dir={folder}: holds another sweep; aetl sweep resume continues it"
    return f"hydra.sweep.dir={folder}: exists already, and is not an empty folder"


@contextmanager
def locked(folder: Path, timeout: float = 0.5) -> Iterator[None]:
    """Be the only one that works on a sweep; ``SweepRefused`` where somebody else does.

    It waits a moment, since looking at a sweep takes the lock too.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".sweep.lock")
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise SweepRefused(f"{folder}: another process works on this sweep") from None
    try:
        yield
    finally:
        lock.release()


def is_live(folder: Path) -> bool:
    """Whether a launcher works on the sweep now."""
    if not (folder / ".sweep.lock").exists():
        return False
    try:
        with locked(folder, timeout=0):
            return False
    except SweepRefused:
        return True


def names_of(overrides: Sequence[Sequence[str]], groups: Container[str]) -> list[str]:
    """Short names of jobs: the overrides that differ between them, as a person would say them.

    ``seed=1 target.budget=20 transfer=control/scratch`` is ``control/scratch seed=1 budget=20``:
    of a choice in one of the config's ``groups`` the option alone.
    """
    common = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    names = []
    for job in overrides:
        differing = masked_words(o for o in job if o not in common)
        pairs = [o.lstrip("+").partition("=") for o in differing]
        choices = [value for key, _, value in pairs if key in groups]
        values = [f"{key.split('.')[-1]}={value}" for key, _, value in pairs if key not in groups]
        names.append(" ".join(choices + values) or "job")
    return names


def shown(folder: Path) -> str:
    """A folder as it is typed from here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative


def mask_files(folder: Path) -> None:
    """Mask the secrets in hydra's own files of a folder, from which nothing starts."""
    for file in folder.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if (safe := masked_hydra(text)) != text:
            write_text(file, safe)
