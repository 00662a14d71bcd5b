"""Which fields an autoencoder of a config gives to the loss, read from annotations alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from hydra.utils import get_object

from aetl.types import Code, Output

FROM_THE_BATCH = {"x", "y", "autoencoder", "rng", "progress", "data_size"}
"""What every autoencoder's loss may ask for: the batch, the model, a source of random numbers, the
fraction of training that is done, and how many examples the batches are drawn from."""


def given_fields(node: Mapping[str, Any]) -> set[str]:
    """The fields of the ``Output`` and of the ``Code`` that the return annotations name."""
    output = _returns(node["_target_"], Output)
    names = {field.name for field in fields(output)} - {"code"} | {"latent"} | FROM_THE_BATCH
    bottleneck = node.get("bottleneck")
    if isinstance(bottleneck, Mapping):
        names |= {field.name for field in fields(_returns(bottleneck["_target_"], Code))}
    elif "code" in get_type_hints(output):
        names |= {field.name for field in fields(get_type_hints(output)["code"])}
    return names


def _returns(target: str, default: type) -> type:
    annotated = get_type_hints(get_object(target).forward).get("return", default)
    return annotated if isinstance(annotated, type) else default
