"""What the values of a record are. A record comes out of a folder, and a folder from anybody."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

Kind = Any
"""``str``, ``bool``, ``int``, ``float`` (any number), ``object`` (any value), ``[kind]`` for a
list, ``{...: kind}`` for a mapping, ``{"name": kind}`` for one that has the name or is empty,
``{"name?": kind}`` for one that may have it."""

_TEXTS: Kind = [str]
_NUMBERS: Kind = {...: float}
_ANYTHING: Kind = {...: object}

_OF: tuple[tuple[Kind, str], ...] = (
    (_NUMBERS, "scores twin gain oracle reconstruction rope seconds monitor"),
    (_TEXTS, "warnings classes tags command overrides paths"),
    ({...: str}, "parents fingerprints digests own_code"),
    ({...: bool}, "higher_is_better reused"),
    (_ANYTHING, "choices git hardware versions"),
    (str, "status error started ended source target autoencoder loss transfer baseline selector "
          "settings task metric"),
    (int, "seed fold labels parameters dropped pid"),
)  # fmt: skip
KINDS: dict[str, Kind] = {
    **{name: kind for kind, names in _OF for name in names.split()},
    "data": {...: {"kind": str, "shape": [int], "train": int, "validation": int, "test": int,
                   "without_label": int, "classes": int, ...: object}},
    "examples": {"file?": str, "digest?": str, "count?": int, ...: object},
    "selection": {"metric": str, "higher_is_better": bool, "score": float, "labels": int,
                  ...: object},
    "head": {"transfer?": {"head": str, ...: object}, ...: object},
    "receipt": {
        **{f"{part}?": [object] for part in ("matched", "by_column", "missing", "skipped",
                                             "frozen", "trainable", "changed")},
        "columns?": {...: _TEXTS}, "effective_sample_size?": float, ...: object,
    },
    "transferability": {"scores?": _NUMBERS, ...: object},
    "retention": {f"{what}?": {"before": float, "after": float, ...: object}
                  for what in ("reconstruction", "score")} | _ANYTHING,
    "bits_per_dim": {"value": float, "bound": str, "data": str, ...: object},
    "cost": {"parameters_trained": int, "seconds": float, ...: object},
    "latent": [int],
    "sampled": {"encoder": str, "features": int, "number": int},
}  # fmt: skip
"""The kinds of a record's values, each of which may be null as well."""


def misfit(record: Mapping[str, Any]) -> str | None:
    """``scores.accuracy='high', expected a number``: the first value of another kind."""
    for name, kind in KINDS.items():
        value = record.get(name)
        if not _fits(value, kind) and (found := _misfit(name, value, kind)) is not None:
            return found
    return None


def _fits(value: Any, kind: Kind) -> bool:
    """Whether it surely fits: the common cases in few steps, since thousands of records are read.

    Where it says no, ``_misfit`` has the word.
    """
    if value is None or kind is object or type(value) is kind:
        return True
    if type(kind) is dict and type(value) is dict and len(kind) == 1:
        one = kind.get(...)
        return one is object or all(v is None or type(v) is one for v in value.values())
    if type(kind) is list and type(value) is list:
        return all(type(v) is kind[0] for v in value)
    return False


def _misfit(name: str, value: Any, kind: Kind, whole: bool = False) -> str | None:
    """``whole``: neither null nor empty will do."""
    if kind is object or (value is None and not whole):
        return None
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return _told(name, value, "a mapping")
        for key in kind if value or whole else ():
            if key is not ... and not key.endswith("?") and key not in value:
                return f"{name} without {key!r}"
        of_all = kind.get(...)
        parts = (
            (f"{name}.{k}", v, _of(kind, k), isinstance(of_all, dict)) for k, v in value.items()
        )
        return next(filter(None, (_misfit(*part) for part in parts)), None)
    if isinstance(kind, list):
        if not isinstance(value, list):
            return _told(name, value, "a list")
        parts = ((f"{name}[{i}]", v, kind[0], True) for i, v in enumerate(value))
        return next(filter(None, (_misfit(*part) for part in parts)), None)
    if kind in (int, float):
        return None if _is_number(value, kind) else _told(name, value, _WORDS[kind])
    return None if isinstance(value, kind) else _told(name, value, _WORDS[kind])


def _of(kind: Mapping[Any, Kind], name: str) -> Kind:
    return kind.get(name, kind.get(f"{name}?", kind.get(..., object)))


_WORDS: dict[Any, str] = {
    str: "a text", bool: "true or false", int: "an integer", float: "a number",
}  # fmt: skip


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float):
        return kind is float
    return abs(value) <= sys.float_info.max


def _told(name: str, value: Any, expected: str) -> str:
    shown = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:36]} ..."
    return f"{name}={shown}, expected {expected}"
