"""A run's data in words, from the ``data`` part of its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def described(record: Mapping[str, Any]) -> dict[str, str]:
    """For source and target what the examples are, and how many are for what."""
    return {name: ", ".join(_parts(part)) for name, part in (record.get("data") or {}).items()}


def _parts(part: Mapping[str, Any]) -> Iterator[str]:
    yield f"{part['kind']} {' x '.join(map(str, part['shape']))}"
    yield f"{part['train']} to train on"
    yield f"{part['validation']} for validation"
    yield f"{part['test']} for the test"
    if part["without_label"]:
        yield f"{part['without_label']} of the training pool without a label"
    if part["classes"]:
        yield f"{part['classes']} classes"
