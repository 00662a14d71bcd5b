"""``aetl best``."""

from __future__ import annotations

import json
from pathlib import Path

from aetl.arguments import Parser
from aetl.comparison.best import Best, best
from aetl.comparison.run import find_runs
from aetl.config import ConfigError
from aetl.report.panel import budget_text, counted_in


def main(arguments: list[str]) -> int:
    """Name the arm to take, by the labels that its selector held out, never by test scores."""
    parser = Parser("aetl best", description=main.__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders with runs")
    parser.add_argument("--metric", help="only arms that were judged by this metric")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    try:
        chosen = best(find_runs(options.paths).done, options.metric)
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if options.json:
        print(json.dumps([one.as_dict() for one in chosen], indent=1))
    else:
        print("\n\n".join(map(told, chosen)))
    return 0


def told(one: Best) -> str:
    """What was chosen, by what, from how many, and how to use it."""
    counted = counted_in([one.run])
    left_out = f" ({one.left_out} without held-out {counted} were left out)" if one.left_out else ""
    seeds = "1 seed" if one.seeds == 1 else f"{one.seeds} seeds"
    return (
        f"{one.target}, {budget_text(one.budget, counted)}: {one.transfer}\n"
        f"  source {one.source}, autoencoder {one.autoencoder} ({one.loss})\n"
        f"  {one.metric} {one.held_out:.4f} on {one.labels} held-out {counted}, mean of {seeds}; "
        f"of {one.arms} arms{left_out}\n"
        f"  aetl predict {one.run.folder} PATH -o predictions.csv"
    )
