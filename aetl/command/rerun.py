"""``aetl rerun``."""

from __future__ import annotations

from pathlib import Path

from aetl.arguments import Parser
from aetl.redo import rerun, rerun_sweep
from aetl.trust import add_options, believe_options


def main(arguments: list[str]) -> int:
    """Do a run or a sweep again from its saved configs, every stage computed anew.

    What is not as it was (code, versions, hardware, data) is said before it starts.
    """
    parser = Parser("aetl rerun", description=main.__doc__)
    parser.add_argument("path", type=Path, metavar="RUN|SWEEP", help="a run's or a sweep's folder")
    parser.add_argument(
        "--check", action="store_true", help="compare the scores; exit 1 if they differ"
    )
    parser.add_argument("--jobs", type=int, help="of a sweep: how many at a time")
    add_options(parser)
    options = parser.parse_args(arguments)
    believe_options(options)
    if (options.path / "manifest.json").exists():
        return rerun_sweep(options.path, options.check, options.jobs)
    return rerun(options.path, options.check)
