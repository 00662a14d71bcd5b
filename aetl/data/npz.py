"""Own data from one .npz file: images or vectors, classes, numbers or no labels."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aetl.data.base import Dataset, Examples
from aetl.types import UserError

Array = npt.NDArray[Any]
CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Npz(Dataset):
    """Arrays ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    ``x`` with three axes are grey images [N, H, W]; with four, colour images, whose channels are
    the first or the last axis of an image (``layout: auto`` takes the one that is 1 to 4 long).
    Images are integers in 0..255, or floats in [0, 1], which are rounded to 256 levels. ``x`` with
    two axes are vectors, as they are or scaled (``scale``: ``standard`` to zero mean and unit
    variance, ``unit`` to [0, 1]; fitted on the training pool of ``size``, without the test rows).

    ``y`` of integers, booleans or strings are classes, of floats regression targets; a matrix of
    zeros and ones has several labels for each example, called by their columns. Without ``y`` the
    set has no labels and can be a source only.
    """

    path: str
    scale: Literal["none", "standard", "unit"]
    layout: Literal["auto", "first", "last"]

    def read(self) -> tuple[Examples, Examples | None]:
        arrays = load_arrays(Path(self.path).expanduser())
        where = str(self.path)
        if "x" in arrays:
            classes = _classes(where, "y", arrays.get("y"))
            return self._examples(arrays, "x", "y", classes), None
        if "x_train" not in arrays:
            found = ", ".join(arrays) or "nothing"
            raise UserError(f"{where}: has no array x or x_train; it holds {found}")
        classes = _classes(where, "y_train", arrays.get("y_train"))
        train = self._examples(arrays, "x_train", "y_train", classes)
        if "x_test" not in arrays:
            return train, None
        test = self._examples(arrays, "x_test", "y_test", classes)
        if train.shape != test.shape:
            raise UserError(f"{where}: x_train is of shape {train.shape}, x_test of {test.shape}")
        if ("y_train" in arrays) != ("y_test" in arrays) or train.y.dtype != test.y.dtype:
            raise UserError(
                f"{where}: y_train and y_test must both be classes, or numbers, or absent"
            )
        return train, test

    def _examples(
        self, arrays: Mapping[str, Array], x: str, y: str, classes: tuple[str, ...]
    ) -> Examples:
        where = str(self.path)
        if not arrays[x].size:
            raise UserError(f"{where}: {x} is empty")
        inputs = inputs_of(f"{where}: {x}", arrays[x], self.layout)
        targets = _targets(f"{where}: {y}", arrays.get(y), classes, len(inputs))
        return Examples.of(inputs, targets, classes)

    def scaled(self, train: Examples, test: Examples) -> tuple[Examples, Examples]:
        if self.scale == "none":
            return train, test
        if train.is_image:
            raise UserError(f"scale={self.scale}: is for vectors; images are always in [0, 1]")
        rows = train.x.double()
        if self.scale == "standard":
            offset, factor = rows.mean(0), rows.std(0, correction=0)
        else:
            offset, factor = rows.amin(0), rows.amax(0) - rows.amin(0)
        factor = torch.where(factor > 0, factor, 1.0)  # a constant column becomes 0

        def scale(examples: Examples) -> Examples:
            return replace(examples, x=((examples.x.double() - offset) / factor).float())

        return scale(train), scale(test)


def load_arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise UserError(f"path={path}: is not a file")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path}: is one array; save it by name, savez(path, x=..., y=...)")
        with archive:
            return {name: _member(path, archive, name) for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: is cut off or not an .npz file ({error})") from error


def _member(path: Path, archive: Any, name: str) -> Array:
    try:
        array: Array = archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UserError(
            f"{path}: {name} is an array of objects; save numbers or strings"
        ) from error
    return array


def inputs_of(where: str, x: Array, layout: str) -> Tensor:
    """uint8 [N, C, H, W] or float32 [N, D]."""
    if x.dtype.kind not in "buif":
        raise UserError(f"{where} is of type {x.dtype}; must be numbers")
    if x.ndim not in (2, 3, 4):
        raise UserError(
            f"{where} is of shape {x.shape}; must be [N, D], [N, H, W], [N, H, W, C] "
            "or [N, C, H, W]"
        )
    if x.ndim > 2:
        return torch.from_numpy(_channels_first(where, _as_bytes(where, x), layout))
    with np.errstate(over="ignore"):
        vectors = x.astype(np.float32)
    _refuse_non_finite(where, vectors)
    return torch.from_numpy(vectors)


def _as_bytes(where: str, x: Array) -> npt.NDArray[np.uint8]:
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind == "f":
        _refuse_non_finite(where, x)
    top = 255 if x.dtype.kind in "ui" else 1
    if x.min() < 0 or x.max() > top:
        raise UserError(
            f"{where} holds {x.min():g} to {x.max():g}; "
            f"images of type {x.dtype} must lie in 0..{top}"
        )
    return x.astype(np.uint8) if top == 255 else np.round(x * 255.0).astype(np.uint8)


def _refuse_non_finite(where: str, x: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
    if len(bad):
        rows = f"row {bad[0]}" if len(bad) == 1 else f"{len(bad)} rows, the first is row {bad[0]}"
        raise UserError(f"{where} holds NaN or infinity in {rows}")


def _channels_first(where: str, x: Array, layout: str) -> Array:
    if x.ndim == 3:
        return x[:, None]
    if layout == "auto":
        first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
        if first == last:
            raise UserError(
                f"{where} is of shape {x.shape}, whose channels could be either axis or neither; "
                "set layout=first or layout=last"
            )
        layout = "first" if first else "last"
    return x if layout == "first" else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _classes(where: str, key: str, y: Array | None) -> tuple[str, ...]:
    if y is None or y.dtype.kind == "f":
        return ()
    if y.dtype.kind not in "buiU":
        raise UserError(f"{where}: {key} is of type {y.dtype}; must be integers, floats or strings")
    if y.ndim == 2 and y.shape[1] > 1:
        return tuple(str(column) for column in range(y.shape[1]))
    return tuple(str(value) for value in np.unique(y))


def _targets(where: str, y: Array | None, classes: tuple[str, ...], n: int) -> Tensor:
    """int64 rows of ``classes``, several labels, float32 numbers, or -1 without labels."""
    if y is None:
        return torch.full((n,), -1)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "bui":
        return _several_labels(where, y, (n, len(classes)))
    if y.shape != (n,):
        raise UserError(f"{where} is of shape {y.shape}; must be ({n},), one for each row of x")
    if y.dtype.kind == "f":
        _refuse_non_finite(where, y)
        return torch.from_numpy(y.astype(np.float32))
    values, inverse = np.unique(y, return_inverse=True)
    position = {name: row for row, name in enumerate(classes)}
    unknown = [str(value) for value in values if str(value) not in position]
    if unknown:
        raise UserError(f"{where} holds class '{unknown[0]}', which the training labels do not")
    rows = np.array([position[str(value)] for value in values], np.int64)
    return torch.from_numpy(rows[inverse])


def _several_labels(where: str, y: Array, shape: tuple[int, int]) -> Tensor:
    if y.shape != shape:
        raise UserError(f"{where} is of shape {y.shape}; must be {shape}, a column for each label")
    if not np.isin(y, (0, 1)).all():
        raise UserError(f"{where} holds {y.min()} to {y.max()}; several labels must be 0 or 1 each")
    return torch.from_numpy(y.astype(np.int64))
