"""``aetl show``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aetl.arguments import Parser
from aetl.comparison.described import described
from aetl.comparison.run import gains_of, load_record
from aetl.terminal import print_table, table_of


def main(arguments: list[str]) -> int:
    """A run's record: what it was, what moved, what came out."""
    parser = Parser("aetl show", description=main.__doc__)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--json", action="store_true", help="print run.json alone")
    options = parser.parse_args(arguments)
    record = load_record(options.run)
    if options.json:
        print(json.dumps(record, indent=1))
        return 0
    table = table_of("", "")
    table.show_header = False
    for key, value in _shown(record):
        table.add_row(key, value)
    return print_table(table)


def _shown(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key in ("status", "error", "source", "target", "autoencoder", "loss", "transfer", "budget",
                "selector", "seed"):  # fmt: skip
        if record.get(key) is not None:
            yield key, str(record[key])
    for name, line in described(record).items():
        yield f"data of the {name}", line
    gains = gains_of(record)
    for name, score in (record.get("scores") or {}).items():
        twin, gain = (record.get("twin") or {}).get(name), gains.get(name)
        baseline = (record.get("baseline") or "control/scratch").rpartition("/")[2]
        yield (
            name,
            (
                f"{_number(score, '.4f')}   {baseline} twin {_number(twin, '.4f')}   "
                f"gain {_number(gain, '+.4f')}"
            ),
        )
    for name, score in (record.get("oracle") or {}).items():
        yield (
            f"oracle {name}",
            f"{_number(score, '.4f')} (the best state by test labels, never chosen by)",
        )
    for domain, error in (record.get("reconstruction") or {}).items():
        yield (
            f"reconstruction {domain}",
            f"{_number(error, '.5f')} (mean squared error per element)",
        )
    if bits := record.get("bits_per_dim"):
        yield "bits/dim", f"{_number(bits['value'], '.4f')} ({bits['bound']}, {bits['data']})"
    for name, value in (record.get("monitor") or {}).items():
        yield name.replace("_", " "), _number(value, ".4g")
    for line in record.get("warnings") or ():
        yield "warning", line
    kept = record.get("retention") or {}
    for what in ("reconstruction", "score"):
        if kept.get(what):
            before, after = kept[what]["before"], kept[what]["after"]
            yield (
                f"source {what} kept",
                f"{_number(before, '.5g')} before, {_number(after, '.5g')} after the transfer",
            )
    for name, value in ((record.get("transferability") or {}).get("scores") or {}).items():
        yield f"score {name}", f"{_number(value, '.4g')} (of the untrained transfer, on its labels)"
    receipt = record.get("receipt") or {}
    for part in ("matched", "by_column", "missing", "skipped", "frozen", "trainable", "changed"):
        if receipt.get(part):
            yield f"receipt: {part}", f"{len(receipt[part])} tensors"
    for part, names in (receipt.get("columns") or {}).items():
        yield f"receipt: columns {part}", f"{len(names)} ({', '.join(names[:5])})"
    if receipt.get("effective_sample_size"):
        yield "effective sample size", f"{receipt['effective_sample_size']:.1f}"
    yield (
        "seconds",
        ", ".join(f"{k} {_number(v, '.1f')}" for k, v in (record.get("seconds") or {}).items()),
    )
    for part in ("git", "versions", "hardware"):
        if record.get(part):
            yield part, ", ".join(f"{k} {v}" for k, v in (record.get(part) or {}).items())
    yield "command", " ".join(record.get("command") or [])


def _number(value: float | None, form: str) -> str:
    """A number of the record, which is null where there was no finite one."""
    return "undefined" if value is None else format(value, form)
