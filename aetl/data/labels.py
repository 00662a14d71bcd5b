"""Labels of any type as targets: classes, several labels, numbers, and examples without any."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aetl.printable import in_utf8
from aetl.types import UserError

Array = npt.NDArray[Any]

# In float32, the type of targets, this part of their spread may be lost.
PRECISION = 1e-3
# So many rows show which texts a column has, mostly.
FIRST = 1000


@dataclass(frozen=True)
class Labels:
    """The targets of each part of a set, as ``Examples.y`` has them, and what there is to tell."""

    classes: tuple[str, ...]
    targets: dict[str, Tensor]
    notes: list[str]


@dataclass(frozen=True)
class Texts:
    """A column of texts: each different one once [K], and which of them each row has [N]."""

    names: Array
    place: Array

    def normal(self) -> "Texts":
        """In order, without blanks around them, those alone that a row has."""
        plain = np.array([normal(str(name).strip()) for name in self.names], np.str_)
        names, moved = np.unique(plain, return_inverse=True)
        counts = np.bincount(self.place, minlength=len(moved))
        there = np.bincount(moved.reshape(-1), counts, minlength=len(names)) > 0
        moved = (np.cumsum(there) - 1)[moved.reshape(-1)]
        stays = np.array_equal(moved, np.arange(len(plain)))
        return Texts(names[there], self.place if stays else moved[self.place])


def labels_of(
    where: str,
    given: Mapping[str, Array | Texts | None],
    sizes: Mapping[str, int],
    unlabelled: int | str | None,
) -> Labels:
    """The labels of the parts of a set, the first of which says what classes there are.

    Integers, booleans and text are classes, floats numbers; a matrix of zeros and ones has several
    labels for each example, or one where every row has a single one. ``unlabelled`` is the label
    that means none: ``auto`` is NaN, the empty text, and -1 beside two or more classes from 0 on.
    """
    if all(y is None for y in given.values()):
        return Labels((), {name: torch.full((sizes[name],), -1) for name in given}, [])
    parts = {name: _plain(f"{where}: {name}", y, sizes[name]) for name, y in given.items()}
    missing = [name for name, y in given.items() if y is None]
    if missing:
        raise UserError(
            f"{where}: {' and '.join(given)} must both be classes, or numbers, or absent "
            f"({missing[0]} is absent)"
        )
    there = {name: y for name, y in parts.items() if y is not None}
    arrays = {name: y for name, y in there.items() if not isinstance(y, Texts)}
    kinds = {(y.dtype.kind == "f", y.ndim) for y in arrays.values()}
    if len(arrays) < len(there):
        kinds.add((False, 1))
    if len(kinds) > 1:
        raise UserError(f"{where}: {' and '.join(given)} must both be classes, or numbers")
    ((is_float, ndim),) = kinds
    if ndim == 2:
        return _matrices(where, arrays)
    if is_float:
        return _numbers(where, arrays)
    return _classes(where, there, unlabelled)


def normal(name: str) -> str:
    """A name in the one of Unicode's forms (NFC) by which all names are compared; bytes of a
    folder's that are no UTF-8 in their written form, since records and figures hold text."""
    return unicodedata.normalize("NFC", in_utf8(name))


def _plain(where: str, y: Array | Texts | None, n: int) -> Array | Texts | None:
    """[N] or [N, K] of integers, booleans or floats, or texts."""
    if y is None:
        return None
    if isinstance(y, Texts):
        return y.normal()
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind not in "buifU":
        raise UserError(f"{where} is of type {y.dtype}; must be integers, floats or text")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind != "U" and len(y) == n:
        return y
    if y.shape != (n,):
        raise UserError(f"{where} is of shape {y.shape}; must be ({n},), one for each row of x")
    if y.dtype.kind == "U":
        return Texts(*different(y)).normal()
    return y


def _matrices(where: str, parts: Mapping[str, Array]) -> Labels:
    """Several labels for each example, or one of K."""
    width = {y.shape[1] for y in parts.values()}
    if len(width) > 1:
        shapes = ", ".join(f"{name} of {y.shape}" for name, y in parts.items())
        raise UserError(f"{where}: the labels must have equally many columns ({shapes})")
    (k,) = width
    targets, notes = {}, []
    for name, y in parts.items():
        empty = np.isnan(y) if y.dtype.kind == "f" else np.equal(y, -1)
        bare = np.asarray(np.all(empty, axis=1))
        if not np.isin(y[~bare], (0, 1)).all():
            raise UserError(
                f"{where}: {name} is of shape {y.shape} and holds {y[~bare].min():g} to "
                f"{y[~bare].max():g}; several labels must be 0 or 1 each"
            )
        values = np.where(bare[:, None], -1, np.nan_to_num(y)).astype(np.int64)
        if bare.any():
            notes.append(f"{name}: {bare.sum()} of {len(y)} rows have no label")
        targets[name] = values
    classes = tuple(str(column) for column in range(k))
    sums = np.concatenate([v[(v >= 0).all(1)].sum(1) for v in targets.values()])
    if k > 1 and len(sums) and (sums == 1).all():
        notes.append(f"y is one-hot and was taken as one of {k} classes for each example")
        single = {
            name: np.where((v < 0).any(1), -1, v.argmax(1)) for name, v in targets.items()
        }  # fmt: skip
        return Labels(classes, {n: torch.from_numpy(v) for n, v in single.items()}, notes)
    return Labels(classes, {n: torch.from_numpy(v) for n, v in targets.items()}, notes)


def _numbers(where: str, parts: Mapping[str, Array]) -> Labels:
    targets, notes = {}, []
    for name, y in parts.items():
        bad = np.flatnonzero(np.isinf(y))
        if len(bad):
            raise UserError(f"{where}: {name} holds infinity in row {bad[0]}")
        bare = np.isnan(y)
        if bare.all():
            raise UserError(f"{where}: {name} holds nothing but NaN")
        if bare.any():
            notes.append(f"{name}: {bare.sum()} of {len(y)} are NaN, taken as without a label")
        with np.errstate(over="ignore"):
            single = y.astype(np.float32)
        if not np.isfinite(single[~bare]).all():
            raise UserError(f"{where}: {name} reaches {np.nanmax(np.abs(y)):g}, beyond float32")
        wide = y[~bare].astype(np.float64)
        if np.abs(single[~bare] - wide).max() > PRECISION * wide.std() > 0:
            raise UserError(
                f"{where}: {name} lies about {wide.mean():.6g} with a spread of {wide.std():.3g}, "
                "which float32 cannot tell apart; subtract a constant from it"
            )
        targets[name] = torch.from_numpy(single)
    return Labels((), targets, notes)


def _classes(
    where: str, parts: Mapping[str, Array | Texts], unlabelled: int | str | None
) -> Labels:
    as_texts = any(isinstance(y, Texts) for y in parts.values())  # 1 and "1" are one class
    found = {name: _found(y, as_texts) for name, y in parts.items()}
    names = {name: [str(value) for value in values] for name, (values, _) in found.items()}
    none = _none_among({v for given in names.values() for v in given}, unlabelled)
    first = next(iter(parts))
    classes = tuple(value for value in names[first] if value not in none)
    if not classes:
        raise UserError(f"{where}: {first} has no label in any row")
    position = {name: row for row, name in enumerate(classes)}
    targets, notes = {}, _told_of_case(classes)
    for name, (_, inverse) in found.items():
        unknown = [v for v in names[name] if v not in position and v not in none]
        if unknown:
            raise UserError(
                f"{where}: {name} holds class '{unknown[0]}', which the training labels do not"
            )
        rows = np.array([position.get(v, -1) for v in names[name]], np.int64)[inverse]
        targets[name] = torch.from_numpy(rows)
        if bare := int((rows < 0).sum()):
            marks = " or ".join(sorted(f"'{m}'" for m in none & set(names[name])))
            notes.append(
                f"{name}: {bare} of {len(rows)} are {marks}, taken as without a label "
                "(unlabelled=null makes it a class)"
            )
    return Labels(classes, targets, notes)


def _found(y: Array | Texts, as_texts: bool) -> tuple[Array, Array]:
    """What labels there are, in order, and which of them each row has."""
    if isinstance(y, Texts):
        return y.names, y.place
    return different(y.astype(np.str_) if as_texts else y)


def different(y: Array) -> tuple[Array, Array]:
    """``np.unique(y, return_inverse=True)``; of long columns of few texts without sorting them."""
    if y.dtype.kind == "U" and len(y) > 10 * FIRST:
        few = np.unique(y[:FIRST])
        place = np.minimum(np.searchsorted(few, y), len(few) - 1)
        if np.array_equal(few[place], y):
            return few, place
    names, place = np.unique(y, return_inverse=True)
    return names, place.reshape(-1)


def _told_of_case(classes: tuple[str, ...]) -> list[str]:
    """A line where two names differ in nothing but upper and lower case."""
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            return [f"the classes '{other}' and '{name}' differ in upper and lower case alone"]
    return []


def _none_among(names: set[str], unlabelled: int | str | None) -> set[str]:
    """The labels that mean none."""
    if unlabelled is None:
        return set()
    if unlabelled != "auto":
        return {str(unlabelled)}
    others = names - {"-1", ""}
    found = {""} & names
    if "-1" in names and len(others) > 1 and all(name.isdecimal() for name in others):
        found.add("-1")
    return found
