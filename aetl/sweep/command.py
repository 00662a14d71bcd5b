"""``aetl sweep status|resume|retry DIR``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from aetl.config import ConfigError
from aetl.sweep.manifest import (
    ENDED,
    JobEntry,
    Manifest,
    State,
    SweepRefused,
    counts,
    is_live,
    locked,
    mark_cut_off,
    shown,
)
from aetl.terminal import console

COLORS: dict[State, str] = {
    "waiting": "dim", "running": "cyan", "done": "green", "pruned": "blue", "refused": "blue",
    "failed": "red", "interrupted": "yellow",
}  # fmt: skip


Start = Callable[[list[str]], int]


def main(argv: Sequence[str], start: Start) -> int:
    """Do the command; the exit code is 0 when all that was asked for is done.

    ``start`` does a multirun's command line: a search goes on by doing its own again.
    """
    options = _parser().parse_args(argv)
    if options.command == "status":
        return status(options.folder, as_json=options.json)
    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs={options.jobs}: expected a whole number from 1 on")
    only_failed = options.command == "retry"
    if Manifest.load(options.folder).study is not None:
        trials = None if only_failed else options.trials
        return search_on(options.folder, only_failed, options.jobs, trials, start)
    return rerun(options.folder, only_failed, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aetl sweep", description="Look at a multirun's folder, or go on with it."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    texts = {
        "status": "how many jobs are done, and how each went",
        "resume": "run what is not done; a job that was cut off continues from its checkpoint",
        "retry": "run the failed jobs again",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("folder", type=Path, metavar="DIR", help="a multirun's folder")
        if name == "status":
            command.add_argument("--json", action="store_true", help="print JSON alone")
        else:
            command.add_argument("--jobs", type=int, help="how many at a time")
        if name == "resume":
            command.add_argument("--trials", type=int, help="of a search: go on to so many")
    return parser


def status(folder: Path, as_json: bool) -> int:
    """Print the states of a sweep's jobs."""
    manifest = Manifest.load(folder)
    live = is_live(folder)
    if not live:
        mark_cut_off(manifest)
    if as_json:
        values = asdict(manifest) | {"folder": str(folder), "live": live}
        print(json.dumps(values | {"counts": counts(manifest.jobs)}, indent=1))
        return 0
    _print(manifest, live)
    return 0


def _print(manifest: Manifest, live: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from aetl.sweep.progress import duration

    table = Table(box=None, pad_edge=False)
    for heading in ("job", "state", "name", "score", "time", "tries", "error"):
        table.add_column(
            heading, justify="right" if heading in ("job", "time", "tries") else "left"
        )
    for job in manifest.jobs:
        table.add_row(
            str(job.number),
            f"[{COLORS[job.state]}]{job.state}[/]",
            escape(job.name),
            _score(job),
            "" if job.seconds is None else duration(job.seconds),
            str(job.tries),
            escape(job.error or ""),
        )
    out = console()
    out.print(table)
    numbers = counts(manifest.jobs)
    said = ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
    out.print(f"{said or 'no jobs'}" + (" (a launcher is at work)" if live else ""))
    if not live and any(job.state not in ENDED for job in manifest.jobs):
        out.print(f"aetl sweep resume {shown(manifest.folder)}")


def _score(job: JobEntry) -> str:
    """Of a search what it looks at, else the test score."""
    if job.values is not None:
        return " ".join(f"{value:.4g}" for value in job.values)
    return "" if job.score is None else f"{job.metric or ''} {job.score:.4g}"


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
