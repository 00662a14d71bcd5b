"""Conditions by which a domain is taken out of a table: ``site=A``, ``age>=60``, ``site!=A|B``."""

import re
from typing import TYPE_CHECKING, Any

from aetl.types import UserError

if TYPE_CHECKING:
    import pandas as pd

_CONDITION = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*$")


def rows_where(frame: "pd.DataFrame", condition: str, place: str) -> Any:
    """Which rows fulfil all conditions, joined by `` and ``; a boolean array.

    ``=`` and ``!=`` compare texts (``|`` between several), the others numbers.
    """
    import pandas as pd

    chosen = pd.Series(True, index=frame.index)
    for part in condition.split(" and "):
        found = _CONDITION.match(part)
        if found is None:
            raise UserError(f"where={condition}: '{part}' is no condition, e.g. site=A or age>=60")
        column, sign, value = found["column"], found["sign"], found["value"]
        if column not in frame:
            raise UserError(f"where={condition}: {place} has no column '{column}'")
        if sign in ("=", "!="):
            same = texts(frame[column]).isin([v.strip() for v in value.split("|")])
            chosen &= same if sign == "=" else ~same
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce")
        try:
            bound = float(value)
        except ValueError:
            raise UserError(f"where={condition}: '{value}' is no number") from None
        comparisons = {
            "<": numbers < bound, "<=": numbers <= bound,
            ">": numbers > bound, ">=": numbers >= bound,
        }  # fmt: skip
        chosen &= comparisons[sign]
    if not chosen.any():
        raise UserError(f"where={condition}: no row of {place} fulfils it")
    return chosen.to_numpy()


def columns_of(condition: str | None) -> list[str]:
    """The columns that a condition looks at."""
    parts = [] if condition is None else condition.split(" and ")
    return [found["column"] for part in parts if (found := _CONDITION.match(part))]


def texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column as text, whole numbers without a point, and nothing where a value is missing."""
    missing = column.isna()
    if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
        column = column.fillna(0).astype("int64")
    return column.astype(str).mask(missing, "")
