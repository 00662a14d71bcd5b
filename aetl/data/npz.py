"""Own data from one .npz file: images, fields, series or vectors; classes, numbers or no labels."""

import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Interval

from aetl.data.arrays import Array, ArrayKind, Layout, format_of, told_of_values
from aetl.data.base import Dataset, Examples
from aetl.data.encoding import other_kind
from aetl.data.labels import labels_of
from aetl.data.mapped import BLOCK, LARGE, empty
from aetl.ranges import Text
from aetl.types import UserError

VALIDATION = ("val", "valid", "validation")


@dataclass(frozen=True, kw_only=True)
class Npz(Dataset):
    """Arrays ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    ``x`` with three axes are grey images [N, H, W]; with four, colour images, whose channels are
    the first or the last axis of an image (``layout: auto`` takes the one that is 1 to 4 long).
    Images are integers in 0..255, or floats in [0, 1], which are rounded to 256 levels; ``top`` is
    the value of white in other ranges. ``x`` with two axes are vectors.
    ``kind: field`` takes images as the numbers that they are, ``kind: series`` signals [N, C, L] or
    [N, L].

    ``y`` of integers, booleans or text are classes, of floats regression targets; a matrix of
    zeros and ones has several labels for each example, called by their columns. ``unlabelled`` is
    the label that means none (``auto``: NaN, empty text, and -1 beside classes from 0 on). Without
    ``y`` the set has no labels and can be a source only. ``x_val`` joins the training pool, which
    holds out its own validation part, or is the test set where there is no other.
    """

    path: Text
    layout: Layout
    kind: ArrayKind
    top: Annotated[int | float, Gt(0)] | None
    unlabelled: Annotated[int, Interval(ge=-(2**63), lt=2**63)] | str | None

    def read(self) -> tuple[Examples, Examples | None]:
        where = str(self.path)
        arrays, notes = _parts(where, load_arrays(Path(self.path).expanduser()))
        xs = {name: array for name, array in arrays.items() if name.startswith("x")}
        white = None if self.top is None else float(self.top)
        form, lines = format_of(where, xs, self.layout, self.kind, white)
        inputs = {name: form.read(f"{where}: {name}", x) for name, x in xs.items()}
        names = {name: name.replace("x", "y", 1) for name in xs}
        labels = labels_of(
            where,
            {y: arrays.get(y) for y in names.values()},
            {names[name]: len(x) for name, x in inputs.items()},
            self.unlabelled,
        )
        notes += [*lines, *labels.notes]
        for x in inputs.values():
            notes += told_of_values(x, scaled=self.scale != "none")
        sets = [
            replace(Examples.of(x, labels.targets[names[name]], labels.classes), form=form)
            for name, x in inputs.items()
        ]
        train, *rest = [sets[0].told(*notes), *sets[1:]]
        if rest and train.shape != rest[0].shape:
            raise UserError(
                f"{where}: x_train is of shape {train.shape}, x_test of {rest[0].shape}"
            )
        return train, rest[0] if rest else None


def _parts(where: str, arrays: dict[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """``x`` and ``y``, or those of training and test, whatever was done with a validation part."""
    if "x" in arrays:
        beside = sorted(name for name in arrays if name.startswith("x_"))
        said = [f"{', '.join(beside)} beside x: left out"] if beside else []
        return {name: arrays[name] for name in ("x", "y") if name in arrays}, said
    if "x_train" not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{where}: has no array x or x_train; it holds {found}")
    wanted = ("x_train", "y_train", "x_test", "y_test")
    parts = {name: arrays[name] for name in wanted if name in arrays}
    held = [name for name in VALIDATION if f"x_{name}" in arrays]
    if not held:
        return parts, []
    x, y = f"x_{held[0]}", f"y_{held[0]}"
    if "x_test" not in parts:
        parts |= {"x_test": arrays[x]} | ({"y_test": arrays[y]} if y in arrays else {})
        return parts, [f"{x} is the test set, for want of x_test ({len(arrays[x])} examples)"]
    if ("y_train" in arrays) != (y in arrays):
        raise UserError(f"{where}: y_train and {y} must both be there, or neither")
    try:
        parts["x_train"] = np.concatenate([arrays["x_train"], arrays[x]])
        if y in arrays:
            parts["y_train"] = np.concatenate([arrays["y_train"], arrays[y]])
    except ValueError as error:
        raise UserError(f"{where}: {x} or {y} does not fit x_train or y_train ({error})") from None
    number = len(arrays[x])
    return parts, [
        f"{x} joined the training pool ({number} examples), of which validation_fraction is "
        "held out"
    ]


def load_arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise UserError(f"path={path}: is not a file")
    try:
        with path.open("rb") as file:  # which np.load leaves open where it fails
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(f"{path}: is one array; save it by name, savez(path, x=..., y=...)")
            large = _large_members(path)
            return {
                name: large[name] if name in large else _member(path, archive, name)
                for name in archive.files
            }
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        kind = other_kind(path)
        if kind is not None and "zip" not in kind:
            raise UserError(f"{path}: is {kind} and no .npz file; save it by savez") from error
        reason = "it may be a pickle" if "pickled" in str(error) else error
        raise UserError(f"{path}: is cut off or not an .npz file ({reason})") from error


def _large_members(path: Path) -> dict[str, Array]:
    """The large arrays: mapped where they are stored as they are (``np.savez``), else unpacked into
    a mapped array a block at a time."""
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            if member.file_size < LARGE or not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as packed:
                header = _header(packed)
                if header is None:
                    continue
                shape, dtype = header
                key = member.filename.removesuffix(".npy")
                if member.compress_type != zipfile.ZIP_STORED:
                    found[key] = _unpacked(packed, shape, dtype)
                    continue
            file.seek(member.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, 1)
            _header(file)
            found[key] = np.memmap(path, dtype, "c", file.tell(), shape)
    return found


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and type of a saved array (in a file or a part of an archive) whose plain numbers lie
    row by row; of another None."""
    if np.lib.format.read_magic(file) != (1, 0):
        return None
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
    return None if dtype.hasobject or columns_first else (shape, dtype)


def _unpacked(packed: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    array = empty(shape, dtype)
    room = array.reshape(-1).view(np.uint8)
    for start in range(0, len(room), BLOCK):
        wanted = room[start : start + BLOCK]
        part = packed.read(len(wanted))
        if len(part) < len(wanted):
            raise EOFError("it ends too early")
        wanted[:] = np.frombuffer(part, np.uint8)
    if packed.read(1):  # by which its checksum is compared, too
        raise ValueError("it is longer than it says")
    return array


def _member(path: Path, archive: Any, name: str) -> Array:
    try:
        array: Array | bytes = archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UserError(
            f"{path}: {name} is an array of objects; save numbers or strings"
        ) from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {name} is no array")
    return array
