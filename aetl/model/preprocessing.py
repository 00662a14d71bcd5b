"""From raw data to what a network sees: a fitted part of a model, kept as JSON.

The shift that a config puts on a domain is no part of it. A shift stands for another sensor, so new
data come from that sensor already; what it does to the run's own data belongs to the data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetl.data.align import align
from aetl.data.arrays import Format, Layout, format_of
from aetl.data.base import Examples, identity_of
from aetl.data.binarise import Binarise, black_and_white
from aetl.data.scale import Scale
from aetl.stage.domains import Domains
from aetl.types import PLAIN, Entries, ExampleKind, UserError

AXES = {
    "image": "[N, H, W] or [N, C, H, W]",
    "field": "[N, H, W] or [N, C, H, W]",
    "series": "[N, L] or [N, C, L]",
    "vector": "[N, D]",
    "tokens": "[N, L]",
}


@dataclass(frozen=True)
class Preprocessing:
    """What the run did to the target's examples after they were read.

    Images take the size and the channels of the target's as they were read, then those of the
    source's: in two steps, since this is what the run's own went through. Series take the source's
    length. Other kinds have their shape; ``scale`` is that of the target's training rows. ``form``
    settles what was guessed when the run read its data (the value of white, the depth of image
    files), so that new data are not guessed anew; ``reading`` is how tables, texts and recordings
    became numbers; ``shape`` is what the network sees.
    """

    kind: ExampleKind
    read_shape: tuple[int, ...]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    form: Format
    scale: Scale | None
    binarise: Binarise = "none"
    reading: Mapping[str, Any] = field(default_factory=dict)
    entries: Entries = PLAIN

    @staticmethod
    def of(domains: Domains) -> Preprocessing:
        target = domains.target
        pool = target.pool
        form = pool.form
        if form is None:  # sets of a known format
            form = Format("vector" if pool.kind == "tokens" else pool.kind, "first")
        return Preprocessing(
            pool.kind, target.read_shape, pool.shape, pool.columns, form, pool.scale,
            target.node.get("binarise", "none"), dict(pool.reading), pool.entries,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        scale = None if self.scale is None else self.scale.as_dict()
        return {
            "kind": self.kind, "read_shape": self.read_shape, "shape": self.shape,
            "columns": self.columns, "form": asdict(self.form), "scale": scale,
            "binarise": self.binarise, "reading": dict(self.reading),
        }  # fmt: skip

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Preprocessing:
        read_shape, shape, columns = (tuple(plain[k]) for k in ("read_shape", "shape", "columns"))
        form = Format(**plain["form"])
        scale = None if plain["scale"] is None else Scale.from_dict(plain["scale"])
        return Preprocessing(
            plain["kind"], read_shape, shape, columns, form, scale,
            plain.get("binarise", "none"), plain.get("reading", {}), plain["entries"],
        )  # fmt: skip

    @property
    def takes(self) -> str:
        """``images of shape 1 x 28 x 28``, in words."""
        return f"{self.kind}s of shape {' x '.join(map(str, self.read_shape))}"

    def read(self, where: str, x: np.ndarray, layout: Layout = "auto") -> Tensor:
        """An array of raw examples as a tensor; ``UserError`` where it is of another kind."""
        if x.ndim not in {axes.count(",") + 1 for axes in AXES[self.kind].split(" or ")}:
            raise UserError(
                f"{where} is of shape {x.shape}; this model takes {self.takes}, {AXES[self.kind]}"
            )
        if not len(x):
            return torch.zeros(
                0, *self.read_shape, dtype=torch.uint8 if self.kind == "image" else None
            )
        if self.kind == "tokens":
            return torch.from_numpy(x.astype(np.int64))
        settled, _ = format_of("data", {where: x}, layout, self.form.kind, self.form.top)
        found = replace(self.form, layout=settled.layout).read(where, x)
        if self.kind != "image" and tuple(found.shape[1:]) != self.read_shape:
            raise UserError(f"{where} is of shape {x.shape}; this model takes {self.takes}")
        return found

    def __call__(self, x: Tensor) -> Examples:
        """Raw examples as the network sees them."""
        unknown = torch.full((len(x),), -1)
        scaled = x if self.scale is None else self.scale(x)
        identity = np.zeros(len(x), np.uint64)
        examples = Examples(scaled, unknown, (), identity, entries=self.entries)
        if self.kind in ("image", "series"):
            for shape in (self.read_shape, self.shape):
                examples = align(examples, shape)
            if self.binarise != "none":
                x = examples.x
                drawn = black_and_white(x, identity_of(x), self.binarise)
                examples = replace(examples, x=drawn)
        return examples
