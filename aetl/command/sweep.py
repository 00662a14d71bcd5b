"""``aetl sweep status|resume|retry DIR``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from aetl.arguments import Parser
from aetl.config import ConfigError
from aetl.multirun.again import rerun, search_on
from aetl.multirun.manifest import (
    ENDED,
    JobEntry,
    Manifest,
    State,
    counts,
    is_live,
    mark_cut_off,
    shown,
)
from aetl.terminal import console, styled
from aetl.trust import add_options, believe_options

COLORS: dict[State, str] = {
    "waiting": "dim", "running": "cyan", "done": "green", "pruned": "blue", "refused": "blue",
    "failed": "red", "interrupted": "yellow",
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Do the command; the exit code is 0 when all that was asked for is done."""
    options = _parser().parse_args(argv)
    if options.command == "status":
        return status(options.folder, as_json=options.json)
    believe_options(options)
    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs={options.jobs}: expected a whole number from 1 on")
    only_failed = options.command == "retry"
    if Manifest.load(options.folder).study is not None:
        trials = None if only_failed else options.trials
        from aetl.launch import run_hydra

        return search_on(options.folder, only_failed, options.jobs, trials, run_hydra, options.cwd)
    from aetl.launch import conclude
    from aetl.multirun.run import SweepFailed

    try:
        code = rerun(options.folder, only_failed, options.jobs, options.cwd)
    except SweepFailed:
        conclude(options.folder)
        raise
    conclude(options.folder)  # as at the end of the multirun itself
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser("aetl sweep", description="Look at a multirun's folder, or go on with it.")
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
            command.add_argument(
                "--cwd", type=Path, metavar="DIR", help="where relative paths of its jobs start"
            )
            add_options(command)
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
    from rich.table import Table

    from aetl.multirun.progress import duration

    table = Table(box=None, pad_edge=False)
    for heading in ("job", "state", "name", "score", "time", "tries", "error"):
        table.add_column(
            heading, justify="right" if heading in ("job", "time", "tries") else "left"
        )
    for job in manifest.jobs:
        table.add_row(
            str(job.number),
            styled((job.state, COLORS[job.state])),
            job.name,
            _score(job),
            "" if job.seconds is None else duration(job.seconds),
            str(job.tries),
            job.error or "",
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
