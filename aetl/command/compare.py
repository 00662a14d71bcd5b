"""``aetl compare``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import get_args

from aetl.arguments import Parser
from aetl.comparison.remote import local
from aetl.comparison.rows import Family
from aetl.comparison.run import find_runs
from aetl.report.formats import compare

FORMATS = {
    "json": "print JSON alone",
    "csv": "print CSV",
    "latex": "print LaTeX tables (booktabs)",
    "html": "write one page that sorts and filters offline",
}


def main(arguments: list[str]) -> int:
    """Compare runs: arms x budgets with mean, interval, gain over scratch and verdict."""
    parser = Parser("aetl compare", description=main.__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="folders with runs, or wandb:ENTITY/PROJECT",
    )
    parser.add_argument("--metric", help="a metric other than each run's first one")
    parser.add_argument(
        "--by",
        metavar="KEY,...",
        help="average over all but these keys of the config, on the cells that all groups have",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="also the oracle, the labels that scratch would need, cost, what the source keeps",
    )
    parser.add_argument(
        "--rope",
        type=_rope,
        metavar="GAIN",
        help="gains up to this make no practical difference (default: as each run's config says)",
    )
    parser.add_argument(
        "--family",
        choices=get_args(Family),
        default="budget",
        help="what p is corrected for (Holm): the arms of a source, target and budget, or all rows",
    )
    parser.add_argument(
        "--mixed-sources",
        action="store_true",
        help="also gains over runs between which the code changed",
    )
    parser.add_argument(
        "--wandb",
        action="store_true",
        help="also save a workspace of the runs' W&B project, by arm, budget and seed",
    )
    parser.add_argument("--output", "-o", type=Path, help="write to this file")
    formats = parser.add_mutually_exclusive_group()
    for name, what in FORMATS.items():
        formats.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, default="table", help=what
        )
    options = parser.parse_args(arguments)
    by = [key.strip() for key in (options.by or "").split(",") if key.strip()]
    paths = [local(path) for path in options.paths]
    if options.wandb:
        print(_workspace(options.paths, paths, options.metric))
    return compare(
        paths,
        format=options.format,
        metric=options.metric,
        output=options.output,
        by=by,
        details=options.details,
        rope=options.rope,
        family=options.family,
        mixed_sources=options.mixed_sources,
    )


def _workspace(given: list[Path], paths: list[Path], metric: str | None) -> str:
    from aetl.tracking.workspace import project_of, save_workspace

    runs = find_runs(paths).done
    entity, project = project_of(given, [run.folder for run in runs])
    return save_workspace(entity, project, metric or runs[0].metric)


def _rope(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 on")
    return value
