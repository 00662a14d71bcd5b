"""``aetl report``."""

from __future__ import annotations

from pathlib import Path

from aetl.arguments import Parser
from aetl.comparison.run import RECORD, RecordError
from aetl.config import ConfigError
from aetl.report.formats import compare


def main(arguments: list[str]) -> int:
    """Write the page of a run, or of all runs in a folder: one file that needs no network."""
    parser = Parser("aetl report", description=main.__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="a run's folder, or one above runs")
    parser.add_argument("--output", "-o", type=Path, help="the file, for a folder of runs")
    parser.add_argument(
        "--mixed-sources",
        action="store_true",
        help="for a folder of runs, also gains over runs between which the code changed",
    )
    options = parser.parse_args(arguments)
    if (options.path / RECORD).exists():
        from aetl.report.page import write_run_page

        try:
            print(write_run_page(options.path))
        except RecordError as error:
            raise ConfigError(f"{options.path}: {error}") from None
        return 0
    return compare(
        [options.path],
        format="html",
        output=options.output,
        mixed_sources=options.mixed_sources,
    )
