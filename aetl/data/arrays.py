"""Arrays of any type and order as examples: images, fields, series or vectors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aetl.data.mapped import blocks, empty
from aetl.types import UserError

Array = npt.NDArray[Any]
Layout = Literal["auto", "first", "last"]
ArrayKind = Literal["auto", "image", "field", "series", "vector"]

CHANNELS = (1, 2, 3, 4)
# Interpolation overshoots by rounding, and by no more.
OVERSHOOT = 1e-3
# Of 255: integer images that hold no more are dark, or were meant in another range.
DARK = 64
# Vectors that reach further train badly as they are.
Fit = Literal["pad", "crop", "stretch"]
UNLIKE = 100.0
"""How many times the range of one column may be that of another without a word."""
LARGE = 100.0
# Signals of a few channels are long; images are not.
LONG = 8


@dataclass(frozen=True)
class Format:
    """How the arrays of one set are read; what ``auto`` meant is settled.

    ``top`` is the value of white in images of integers (0 is black), ``float_top`` in those of
    floats and booleans, ``bits`` the depth of image files of more than 8, ``fit`` how those of
    other proportions take the size.
    """

    kind: Literal["image", "field", "series", "vector"]
    layout: Literal["first", "last"]
    top: float = 255.0
    float_top: float = 1.0
    bits: int = 16
    fit: Fit = "stretch"

    def read(self, where: str, x: Array) -> Tensor:
        """uint8 [N, C, H, W], float32 [N, C, H, W], [N, C, L] or [N, D]."""
        _refuse_other_than_numbers(where, x)
        if self.kind == "image":
            return torch.from_numpy(self._channels_first(self._as_bytes(where, x)))
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(x.astype(np.float32))
        refuse_non_finite(where, values)
        if self.kind == "vector":
            return torch.from_numpy(values)
        if self.kind == "series" and values.ndim == 2:
            values = values[:, None]
        elif self.kind == "series":
            values = values if self.layout == "first" else values.transpose(0, 2, 1)
        else:
            values = self._channels_first(values)
        return torch.from_numpy(np.ascontiguousarray(values))

    def _as_bytes(self, where: str, x: Array) -> npt.NDArray[np.uint8]:
        is_float = x.dtype.kind == "f"
        top = self.top if x.dtype.kind in "ui" else self.float_top
        if x.dtype == np.uint8 and top == 255:
            return x
        if is_float:
            refuse_non_finite(where, x)
        slack = OVERSHOOT * top if is_float else 0
        if x.min() < -slack or x.max() > top + slack:
            raise UserError(
                f"{where} holds {x.min():g} to {x.max():g}; images of type {x.dtype} must lie in "
                f"0..{top:g} (set top=... to the value that is white, or kind=field for "
                f"numbers as they are{', or kind=series for signals' if x.ndim == 3 else ''})"
            )
        levels = np.clip(x, 0, top) if is_float else x
        return np.round(levels * (255.0 / top)).astype(np.uint8)

    def _channels_first(self, x: Array) -> Array:
        if x.ndim == 3:
            x = x[:, None]
        elif self.layout == "last":
            x = x.transpose(0, 3, 1, 2)
        if x.flags.c_contiguous:
            return x
        moved = empty(x.shape, x.dtype)
        moved[...] = x
        return moved


def format_of(
    where: str,
    arrays: Mapping[str, Array],
    layout: Layout = "auto",
    kind: ArrayKind = "auto",
    top: float | None = None,
) -> tuple[Format, list[str]]:
    """How all of the arrays are read, and what there is to tell of it.

    They have to agree in type and number of axes. ``UserError`` for what no kind holds.
    """
    for name, array in arrays.items():
        _refuse_other_than_numbers(f"{where}: {name}", array)
        if not array.size:
            raise UserError(f"{where}: {name} is empty")
    name, first = next(iter(arrays.items()))
    place = f"{where}: {name}"
    dims: dict[str, tuple[int, ...]] = {
        "auto": (2, 3, 4), "image": (3, 4), "field": (3, 4), "series": (2, 3), "vector": (2,)
    }  # fmt: skip
    if any(array.ndim not in dims[kind] for array in arrays.values()):
        wanted = {2: "[N, D]", 3: "[N, H, W]", 4: "[N, H, W, C] or [N, C, H, W]"}
        if kind == "series":
            wanted = {2: "[N, L]", 3: "[N, C, L] or [N, L, C]"}
        shapes = ", ".join(wanted[n] for n in dims[kind])
        raise UserError(f"{place} is of shape {first.shape}; must be {shapes}")
    if len({array.ndim for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{n} of {a.shape}" for n, a in arrays.items())
        raise UserError(f"{where}: the arrays must have equally many axes ({shapes})")
    if kind == "auto":
        kind = "vector" if first.ndim == 2 else "image"
        notes = _told_of_long_images(first) if first.ndim == 3 else []
    else:
        notes = []
    settled = _layout(place, first, layout, kind)
    if kind != "image":
        return Format(kind, settled), notes
    if top is not None:
        return Format(kind, settled, top, top), notes
    white, lines = _white(list(arrays.values()))
    return Format(kind, settled, white), [*notes, *lines]


def _told_of_long_images(x: Array) -> list[str]:
    height, width = x.shape[1:]
    if height > 4 or width < LONG * height:
        return []
    return [
        f"x of shape {x.shape} was taken for grey images of {height} x {width} pixels; "
        "kind=series makes them signals"
    ]


def _layout(where: str, x: Array, layout: Layout, kind: str) -> Literal["first", "last"]:
    if layout != "auto":
        return layout
    if x.ndim < 4:
        return "first"
    first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
    if first == last:
        raise UserError(
            f"{where} is of shape {x.shape}, whose channels could be either axis or neither; "
            "set layout=first or layout=last"
        )
    return "first" if first else "last"


def _white(arrays: Sequence[Array]) -> tuple[float, list[str]]:
    """The value of white in images of integers, and what was guessed of them or of floats."""
    floats = [a for a in arrays if a.dtype.kind == "f" and np.isfinite(a).all()]
    over = max([0.0, *(float(max(a.max() - 1, -a.min())) for a in floats)])
    notes = []
    if 0 < over <= OVERSHOOT:
        notes.append(f"x goes beyond 0..1 by up to {over:.2g} and is cut off there")
    integers = [a for a in arrays if a.dtype.kind in "ui"]
    lowest = min((int(a.min()) for a in integers), default=0)
    highest = max((int(a.max()) for a in integers), default=255)
    if lowest >= 0 and highest == 1:
        said = "x holds integers 0 and 1, taken as black and white (top=255 for 0..255)"
        return 1.0, [*notes, said]
    if lowest >= 0 and highest <= DARK:
        notes.append(
            f"x holds integers up to {highest}, taken as dark images, 255 being white: "
            f"set top={highest} if that is white"
        )
    return 255.0, notes


def told_of_values(x: Tensor, *, scaled: bool) -> list[str]:
    """Images of one value each, and vectors that reach far."""
    if x.dtype == torch.uint8:
        flat = (part.flatten(1) for part in blocks(x))
        constant = sum(int((part == part[:, :1]).all(1).sum()) for part in flat)
        if 2 * constant > len(x):
            return [
                f"{constant} of {len(x)} images are of one single value: there is nothing on it"
            ]
        return []
    if scaled:
        return []
    reach = float(x.abs().max())
    if reach > LARGE:
        return [f"x reaches {reach:.3g}: scale=standard brings all columns to one scale"]
    if x.dim() == 2 and not x.is_sparse and (times := _unlike(x)) > UNLIKE:
        return [
            f"the columns of x differ {times:,.0f}-fold in their ranges, so that the widest alone "
            "count: scale=standard brings all to one scale"
        ]
    return []


def _unlike(x: Tensor) -> float:
    """How many times the range of a wide column is that of a narrow one; few that are beyond all
    others (a pixel at the rim) do not count, nor do columns that are constant."""
    parts = [(part.amin(0), part.amax(0)) for part in blocks(x)]
    low, high = (torch.stack(ends) for ends in zip(*parts, strict=True))
    ranges = high.amax(0) - low.amin(0)
    ranges = ranges[ranges > 0].double()
    if len(ranges) < 2:
        return 1.0
    ends = torch.tensor([0.05, 0.95], dtype=torch.double)
    narrow, wide = torch.quantile(ranges, ends, interpolation="nearest")
    return float(wide / narrow)


def _refuse_other_than_numbers(where: str, x: Array) -> None:
    if x.dtype.kind not in "buif":
        raise UserError(f"{where} is of type {x.dtype}; must be numbers")


def refuse_non_finite(where: str, x: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
    if len(bad):
        rows = f"row {bad[0]}" if len(bad) == 1 else f"{len(bad)} rows, the first is row {bad[0]}"
        raise UserError(f"{where} holds NaN or infinity in {rows}")


def shown(names: Iterable[str], number: int = 5) -> str:
    """The first names of many."""
    listed = list(names)
    return ", ".join([*listed[:number], *["..."][: len(listed) - number]])
