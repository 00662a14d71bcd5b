"""CSV that a spreadsheet shows as it is and does not compute (CWE-1236)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from aetl.printable import printable

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet computes."""


def csv_of(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """A table whose cells are values: a name that a spreadsheet would compute is quoted for it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(keys), lineterminator="\n")
    writer.writerow({key: _cell(key) for key in keys})
    writer.writerows({key: _cell(value) for key, value in line.items()} for line in lines)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value[:1] in FORMULA else printable(value)
