"""Modules that do something in another way for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def mixed_in(mixin: type[nn.Module], parts: Iterable[nn.Module]) -> Iterator[None]:
    """Within the block the parts look into ``mixin`` before their own class.

    Their names, parameters and buffers stay.
    """
    name = mixin.__name__.lstrip("_")
    found = {part: type(part) for part in parts}
    for part, kind in found.items():
        part.__class__ = type(f"{name}{kind.__name__}", (mixin, kind), {})
    try:
        yield
    finally:
        for part, kind in found.items():
            part.__class__ = kind
