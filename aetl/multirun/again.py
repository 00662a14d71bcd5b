"""Going on with a sweep: what was cut off, what failed, or further trials of a search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aetl import trust
from aetl.files import file_digest
from aetl.foreign import yaml_text
from aetl.multirun.manifest import (
    ENDED,
    TASK,
    JobEntry,
    Manifest,
    SweepRefused,
    counts,
    locked,
    mark_cut_off,
    shown,
)

_HARMLESS = (
    "hydra.sweep.", "hydra.sweeper.", "hydra/sweeper=", "hydra/launcher=", "hydra.launcher.jobs=",
    "hydra.launcher.retries=",
)  # fmt: skip
"""Of hydra's own settings those that run nothing."""

Start = Callable[[list[str]], int]
"""Does a multirun's command line: a search goes on by doing its own again."""


def rerun(folder: Path, only_failed: bool, at_once: int | None, cwd: Path | None = None) -> int:
    """Run the jobs of a sweep that are not done, or only the failed ones, in their own folders."""
    with locked(folder):
        manifest = Manifest.load(folder)
        _stand(manifest, cwd)
        mark_cut_off(manifest)
        _believe_records(manifest)
        jobs = [j for j in manifest.jobs if j.state not in ENDED]
        if only_failed:
            jobs = [j for j in jobs if j.state == "failed"]
        if at_once is not None:
            manifest.jobs_at_once = at_once
        if not jobs:
            print(f"nothing to do: {_said(manifest)}")
            return 0
        run_jobs(manifest, jobs)
    return 0


def search_on(
    folder: Path, only_failed: bool, at_once: int | None, trials: int | None, start: Start,
    cwd: Path | None = None,
) -> int:  # fmt: skip
    """Go on with a search: what was cut off, then the trials that are missing; of the trials that
    have failed nothing is learnt by failing again, so that only ``retry`` runs them."""
    from aetl.multirun.plugin import ProcessLauncher

    folder = folder.absolute()
    with locked(folder):
        manifest = Manifest.load(folder)
        _stand(manifest, cwd)
        mark_cut_off(manifest)
        _believe_records(manifest)
        refuse_strange(manifest, manifest.jobs)
        command = [*manifest.command[1:], f"hydra.sweep.dir='{folder}'"]
        command += [f"hydra.launcher.jobs={at_once}"] if at_once else []
        command += [f"hydra.sweeper.n_trials={trials}"] if trials else []
        ProcessLauncher.going_on = manifest
        ProcessLauncher.again = frozenset(
            ("failed",) if only_failed else ("interrupted", "waiting")
        )
        here = os.getcwd()
        try:
            os.chdir(manifest.cwd)  # relative paths of the command start there
            return start(command)
        finally:
            os.chdir(here)
            ProcessLauncher.going_on = None


def _stand(manifest: Manifest, cwd: Path | None) -> None:
    """Relative paths of the jobs start where the sweep was started, or where ``cwd`` says."""
    if cwd is not None:
        if not cwd.is_dir():
            raise SweepRefused(f"--cwd {cwd}: no such folder")
        manifest.cwd = str(cwd.absolute())
    elif not os.path.isdir(manifest.cwd):
        raise SweepRefused(
            f"{manifest.folder}: was started in {manifest.cwd}, which is gone, and relative paths "
            "of its jobs start there; say where they start now: --cwd DIR"
        )


def run_jobs(manifest: Manifest, jobs: Sequence[JobEntry]) -> None:
    """Run jobs whose configs lie in their folders; ``SweepFailed`` where some did not finish."""
    from aetl.multirun.backend import start_server
    from aetl.multirun.live_page import last_page
    from aetl.multirun.run import SweepFailed, backend_of, run_sweep

    refuse_strange(manifest, jobs)
    refuse_altered(manifest, jobs)
    for job in jobs:
        if not (manifest.job_folder(job) / "config.yaml").exists():
            raise SweepRefused(f"{manifest.job_folder(job)}: the job's config.yaml is missing")
        job.state = "waiting"
    context = start_server(max(job.threads for job in jobs))
    run_sweep(manifest, jobs, context, backend_of(manifest, context))
    last_page(manifest.folder)
    bad = [job for job in jobs if job.state not in ENDED]
    print(f"aetl compare {shown(manifest.folder)}")
    if bad:
        raise SweepFailed(len(bad), manifest.folder)


def refuse_strange(manifest: Manifest, jobs: Sequence[JobEntry]) -> None:
    """``Untrusted`` for a sweep whose files ask for more than aetl's own code.

    Its folder may come from somebody else, and says what jobs do, where, after which commands of a
    shell, with which log handlers and in which folders.
    """
    file = manifest.folder / "manifest.json"
    root = manifest.folder.resolve()
    for job in jobs:
        if not manifest.job_folder(job).resolve().is_relative_to(root):
            raise SweepRefused(f"{file}: job {job.number} lies outside the sweep ({job.folder})")
    if trust.trusts_all():
        trust.search(manifest.paths)
        return
    for what in _asked(manifest):
        raise trust.Untrusted(
            f"{file}: {what[:120]}: runs what aetl does not ship, and a folder may come from "
            "anybody; if you know it: --trust all, or --config-dir DIR for variants in DIR"
        )
    for link in _links(manifest, jobs):
        raise trust.Untrusted(
            f"{link}: is a link, so that jobs would write elsewhere, and a folder may come from "
            "anybody; if you know it: --trust all"
        )
    for job in jobs:
        folder = manifest.job_folder(job)
        trust.load_config(folder / "config.yaml")
        _refuse_strange_logging(folder / ".hydra" / "hydra.yaml")


def refuse_altered(manifest: Manifest, jobs: Sequence[JobEntry]) -> None:
    """A job goes on from the config that it was started with, or not at all."""
    for job in jobs:
        for name, digest in job.digests.items():
            file = manifest.job_folder(job) / name
            if file.exists() and file_digest(file) != digest:
                raise SweepRefused(
                    f"{file}: is not what the sweep wrote (damaged, or edited); restore it, or "
                    "start this job as a run of its own"
                )


def _asked(manifest: Manifest) -> Iterator[str]:
    """What of a manifest would run something that nobody here has named."""
    if manifest.task != TASK and not trust.is_trusted(manifest.task.replace(":", ".")):
        yield f"task={manifest.task}"
    backend = manifest.backend or {}
    if backend and not trust.is_trusted(str(backend.get("_target_"))):
        yield f"backend={backend.get('_target_')}"
    yield from (f"backend.{key}" for key in ("setup", "additional_parameters") if backend.get(key))
    if manifest.study is not None:  # it goes on by its own command line
        yield from _strange(manifest.command[1:], Path(manifest.cwd))


def _links(manifest: Manifest, jobs: Sequence[JobEntry]) -> Iterator[Path]:
    """The links among what a sweep and these jobs of its write."""
    yield from (path for path in manifest.folder.iterdir() if path.is_symlink())
    for job in jobs:
        for base, folders, files in os.walk(manifest.job_folder(job)):
            yield from (p for name in (*folders, *files) if (p := Path(base, name)).is_symlink())


def _strange(command: Sequence[str], cwd: Path) -> Iterator[str]:
    words = iter(command)
    for word in words:
        key = word.lstrip("+~")
        if word in ("-cd", "--config-dir") or word.startswith("--config-dir="):
            given = word.partition("=")[2] or next(words, "")
            if not trust.is_trusted_folder(cwd / given):
                yield f"--config-dir {given}"
        elif word.startswith("-") and word not in ("-m", "--multirun"):
            yield word
        elif "_target_" in word or "${" in word:
            target = word.partition("=")[2]
            if not (key.partition("=")[0].endswith("._target_") and trust.is_trusted(target)):
                yield word
        elif key.startswith(("hydra.", "hydra/", "hydra=")) and not key.startswith(_HARMLESS):
            yield word


def _refuse_strange_logging(file: Path) -> None:
    """Python's logging builds whatever it is told to, and writes where it is told to."""
    from omegaconf import OmegaConf

    try:
        yaml_text(file)
        node: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        job, logging = dict(node["hydra"]["job"]), node["hydra"]["job_logging"]
    except Exception as error:
        line = " ".join(str(error).split())[:120]
        raise trust.Unreadable(f"{file}: cannot be read ({line})") from None
    ours = (trust.conf_dir() / "hydra" / "job_logging").glob("*.yaml")
    known = [OmegaConf.to_container(OmegaConf.load(path), resolve=False) for path in ours]
    for name, asked in (("job_logging", logging not in known), ("job.env_set", job.get("env_set"))):
        if asked:
            raise trust.Untrusted(
                f"{file}: hydra.{name}: is not what aetl ships, and a folder may come from "
                "anybody; if you know it: --trust all"
            )


def _believe_records(manifest: Manifest) -> None:
    """A job may have finished in the moment in which its launcher was killed: it is done."""
    from aetl.files import read_json

    for job in manifest.jobs:
        if job.state == "interrupted":
            try:
                record = read_json(manifest.job_folder(job) / "run.json")
            except (OSError, ValueError):
                continue
            if record["status"] in ("pruned", "refused"):
                job.state, job.error = record["status"], record.get("error")
            if record["status"] == "done":
                metric = record["metric"]
                job.state, job.error = "done", None
                job.metric, job.score = metric, record["scores"][metric]


def _said(manifest: Manifest) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts(manifest.jobs).items() if n)
