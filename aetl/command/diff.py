"""``aetl diff``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aetl.arguments import Parser
from aetl.comparison.run import load_record
from aetl.foreign import told_by_line, yaml_text
from aetl.terminal import print_table, table_of


def main(arguments: list[str]) -> int:
    """What differs between two runs: config, code, versions, hardware, scores."""
    parser = Parser("aetl diff", description=main.__doc__)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    left, right = (_comparable(folder) for folder in options.runs)
    rows = {key: (left.get(key), right.get(key)) for key in sorted({**left, **right})}
    different = {key: pair for key, pair in rows.items() if pair[0] != pair[1]}
    if options.json:
        print(json.dumps(different, indent=1))
        return 0
    if not different:
        print("no difference in config, code, versions, hardware or scores")
        return 0
    table = table_of("key", *(str(folder) for folder in options.runs))
    for key, pair in different.items():
        table.add_row(key, *("-" if value is None else str(value) for value in pair))
    return print_table(table)


def _comparable(folder: Path) -> dict[str, Any]:
    import yaml

    record = load_record(folder)
    kept = (
        "git",
        "versions",
        "hardware",
        "fingerprints",
        "scores",
        "twin",
        "gain",
        "reconstruction",
        "status",
    )
    values = {key: record.get(key) for key in kept}
    config = folder / "config.yaml"
    if config.exists():
        with told_by_line(config):
            values["config"] = yaml.safe_load(yaml_text(config))
    return dict(_flat(values))


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{path}.{key}" if path else str(key))
    else:
        yield path.removeprefix("config."), value
