"""Conditions by which a domain is taken out of a set: ``site=A``, ``age>=60``, ``site!=A|B``."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aetl.types import UserError

Array = npt.NDArray[Any]

_CONDITION = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*$")
_COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


def rows_where(columns: Mapping[str, Array], condition: str, place: str) -> npt.NDArray[np.bool_]:
    """Which rows fulfil all conditions, joined by `` and ``; after a ``!`` all other rows.

    ``=`` and ``!=`` compare texts (``|`` between several), the others numbers. ``columns`` are
    numbers (NaN where there is none) or texts ('' where there is none), by name.
    """
    chosen = np.ones(len(next(iter(columns.values()), ())), bool)
    inner = condition.strip().removeprefix("!")
    for part in inner.split(" and "):
        found = _CONDITION.match(part)
        if found is None:
            raise UserError(f"where={condition}: '{part}' is no condition, e.g. site=A or age>=60")
        column, sign, value = found["column"], found["sign"], found["value"]
        if column not in columns:
            raise UserError(f"where={condition}: {place} has no column '{column}'")
        if sign in ("=", "!="):
            same = np.isin(as_texts(columns[column]), [v.strip() for v in value.split("|")])
            chosen &= same if sign == "=" else ~same
            continue
        try:
            bound = float(value)
        except ValueError:
            raise UserError(f"where={condition}: '{value}' is no number") from None
        chosen &= _COMPARISONS[sign](_as_numbers(columns[column]), bound)
    chosen = ~chosen if condition.strip().startswith("!") else chosen
    if not chosen.any():
        raise UserError(f"where={condition}: no row of {place} fulfils it")
    return chosen


def columns_of(condition: str | None) -> list[str]:
    """The columns that a condition looks at."""
    parts = [] if condition is None else condition.strip().removeprefix("!").split(" and ")
    return [found["column"] for part in parts if (found := _CONDITION.match(part))]


def as_texts(values: Array) -> Array:
    """A column as text, whole numbers without a point, and nothing where a value is missing."""
    if values.dtype.kind != "f":
        return values.astype(np.str_)
    missing = np.isnan(values)
    there = values[~missing]
    whole = bool((np.isfinite(there) & (there % 1 == 0)).all()) if len(there) else False
    named = np.where(missing, 0, values).astype(np.int64 if whole else values.dtype)
    return np.where(missing, "", named.astype(np.str_))


def _as_numbers(values: Array) -> npt.NDArray[np.float64]:
    if values.dtype.kind != "U":
        return values.astype(np.float64)
    texts, place = np.unique(values, return_inverse=True)
    return np.array([_number(text) for text in texts], np.float64)[place.reshape(-1)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
