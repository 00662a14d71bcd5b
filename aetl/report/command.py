"""``aetl compare`` and ``aetl report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from aetl.config import ConfigError
from aetl.report.compare import compare
from aetl.report.remote import local
from aetl.report.run import RECORD, RecordError

FORMATS = {
    "json": "print JSON alone",
    "csv": "print CSV",
    "latex": "print LaTeX tables (booktabs)",
    "html": "write one page that sorts and filters offline",
}


def compare_command(arguments: list[str]) -> int:
    """Compare runs: arms x budgets with mean, interval, gain over scratch and verdict."""
    parser = argparse.ArgumentParser("aetl compare", description=compare_command.__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="folders with runs, or wandb:ENTITY/PROJECT",
    )
    parser.add_argument("--metric", help="a metric other than each run's first one")
    parser.add_argument(
        "--by", metavar="KEY,...", help="average over all but these keys of the config"
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="also the oracle, the labels that scratch would need, cost, what the source keeps",
    )
    parser.add_argument("--output", "-o", type=Path, help="write to this file")
    formats = parser.add_mutually_exclusive_group()
    for name, what in FORMATS.items():
        formats.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, default="table", help=what
        )
    options = parser.parse_args(arguments)
    by = [key.strip() for key in (options.by or "").split(",") if key.strip()]
    return compare(
        [local(path) for path in options.paths],
        format=options.format,
        metric=options.metric,
        output=options.output,
        by=by,
        details=options.details,
    )


def report_command(arguments: list[str]) -> int:
    """Write the page of a run, or of all runs in a folder: one file that needs no network."""
    parser = argparse.ArgumentParser("aetl report", description=report_command.__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="a run's folder, or one above runs")
    parser.add_argument("--output", "-o", type=Path, help="the file, for a folder of runs")
    options = parser.parse_args(arguments)
    if (options.path / RECORD).exists():
        from aetl.report.page import write_run_page

        try:
            print(write_run_page(options.path))
        except RecordError as error:
            raise ConfigError(f"{options.path}: {error}") from None
        return 0
    return compare([options.path], format="html", output=options.output)
