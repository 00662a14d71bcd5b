"""The card of a model: what to know before it is used, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetl.model.spec import Spec


def card(record: Mapping[str, Any], spec: Spec) -> str:
    """Data, arm, scores beside the control's, receipt, limits."""
    return "\n".join(_lines(record, spec)) + "\n"


def _lines(record: Mapping[str, Any], spec: Spec) -> Iterator[str]:
    takes, metric = spec.preprocessing, record["metric"]
    yield f"# {record['autoencoder']}, {record['transfer']}: {record['target']}"
    yield ""
    yield "## What it is"
    yield ""
    yield f"- Source: {record['source']}; target: {record['target']}"
    yield f"- Autoencoder: {record['autoencoder']}, loss {record['loss']}"
    yield f"- Arm: {record['transfer']}, budget {record['budget']}, seed {record['seed']}"
    yield f"- Chosen by: {record['selector']}"
    yield f"- Takes: {takes.takes}" + (
        f", brought to {_shape(takes.shape)}" if takes.shape != takes.read_shape else ""
    )
    yield f"- Gives: {', '.join(spec.classes) if spec.classes else 'one number'}"
    yield ""
    yield "## What it scored on the target's test set"
    yield ""
    yield f"| metric | this model | {record['baseline']} | gain |"
    yield "| --- | --- | --- | --- |"
    for name, score in record["scores"].items():
        twin, gain = record["twin"][name], record["gain"][name]
        first = " (first)" if name == metric else ""
        yield f"| {name}{first} | {score:.4f} | {twin:.4f} | {gain:+.4f} |"
    yield ""
    yield (
        "One seed, so no interval: whether the transfer helped is said by `aetl compare` over "
        "several seeds."
    )
    yield ""
    yield "## What the transfer moved"
    yield ""
    receipt = record["receipt"]
    for part in ("matched", "missing", "skipped", "frozen", "trainable", "changed"):
        yield f"- {part}: {len(receipt.get(part) or ())} tensors"
    yield ""
    yield "## Limits"
    yield ""
    yield f"- It knows what {record['target']} looks like; anything else it answers all the same."
    if takes.kind == "image":
        yield "- Images are brought to its size without keeping their proportions."
    for line in record.get("warnings") or ():
        yield f"- {line}"
    versions = record.get("versions") or {}
    yield ""
    yield f"Made with {', '.join(f'{name} {value}' for name, value in versions.items())}."


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
