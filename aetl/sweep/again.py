"""Going on with a sweep: what was cut off, what failed, or further trials of a search."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aetl.sweep.manifest import (
    ENDED,
    JobEntry,
    Manifest,
    SweepRefused,
    counts,
    locked,
    mark_cut_off,
    shown,
)

Start = Callable[[list[str]], int]
"""Does a multirun's command line: a search goes on by doing its own again."""


def rerun(folder: Path, only_failed: bool, at_once: int | None) -> int:
    """Run the jobs of a sweep that are not done, or only the failed ones, in their own folders."""
    with locked(folder):
        manifest = Manifest.load(folder)
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
    folder: Path, only_failed: bool, at_once: int | None, trials: int | None, start: Start
) -> int:
    """Go on with a search: what was cut off, then the trials that are missing; of the trials that
    have failed nothing is learnt by failing again, so that only ``retry`` runs them."""
    from aetl.sweep.plugin import ProcessLauncher

    folder = folder.absolute()
    with locked(folder):
        manifest = Manifest.load(folder)
        mark_cut_off(manifest)
        _believe_records(manifest)
        command = [*manifest.command[1:], f"hydra.sweep.dir='{folder}'"]
        command += [f"hydra.launcher.jobs={at_once}"] if at_once else []
        command += [f"hydra.sweeper.n_trials={trials}"] if trials else []
        find_users_classes(manifest.paths)
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


def run_jobs(manifest: Manifest, jobs: Sequence[JobEntry]) -> None:
    """Run jobs whose configs lie in their folders; ``SweepFailed`` where some did not finish."""
    from aetl.sweep.backend import start_server
    from aetl.sweep.run import SweepFailed, backend_of, run_sweep

    find_users_classes(manifest.paths)
    for job in jobs:
        if not (manifest.job_folder(job) / "config.yaml").exists():
            raise SweepRefused(f"{manifest.job_folder(job)}: the job's config.yaml is missing")
        job.state = "waiting"
    context = start_server(max(job.threads for job in jobs))
    run_sweep(manifest, jobs, context, backend_of(manifest, context))
    bad = [job for job in jobs if job.state not in ENDED]
    print(f"aetl compare {shown(manifest.folder)}")
    if bad:
        raise SweepFailed(len(bad), manifest.folder)


def find_users_classes(paths: Sequence[str]) -> None:
    """Look where the sweep's launcher looked; its jobs inherit it."""
    new = [path for path in paths if path not in sys.path]
    sys.path[:0] = new
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*new, *([known] if known else [])])


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
