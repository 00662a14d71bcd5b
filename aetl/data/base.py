"""What every data set is: examples in memory, and the steps from its files to a domain."""

# No `from __future__ import annotations` in the modules of the data sets: a data set is a
# dataclass, and the types of its constructor have to resolve in the modules of its subclasses too.

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, final

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Interval
from jaxtyping import Bool, Float, Int, UInt64
from torch import Tensor

from aetl.data.arrays import Format
from aetl.data.binarise import Binarise, black_and_white
from aetl.data.mapped import blocks
from aetl.data.scale import Method, Scale
from aetl.data.shift import Shift
from aetl.data.sparse import hashes_of, parts_of, rows_of
from aetl.data.stratify import held_groups, parts_of_groups, stratified_order
from aetl.ranges import Count, Natural, Probability, Seed
from aetl.rng import Rng
from aetl.types import PLAIN, Entries, ExampleKind, UserError

Index = Int[Tensor, " n"] | Int[np.ndarray, " n"]

_KINDS: dict[tuple[bool, int], ExampleKind] = {
    (True, 4): "field",
    (True, 3): "series",
    (True, 2): "vector",
    (False, 2): "tokens",
}


PER_EXAMPLE = ("group", "rows", "files", "factors")
"""The arrays of ``Examples`` that have an entry for each, where they are there."""


def identity_of(x: Tensor) -> UInt64[np.ndarray, " N"]:
    """A 64-bit BLAKE2b hash of the shape and the values of each example.

    A colour image whose channels agree hashes as the grey image that it is, so that the same
    picture is known again whichever way it was stored.
    """
    if x.is_sparse:
        return hashes_of(x)
    parts = [identity_of_rows(part.contiguous().numpy()) for part in blocks(x)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def identity_of_rows(rows: npt.NDArray[Any]) -> UInt64[np.ndarray, " n"]:
    """The same of few examples, in an array."""
    if rows.dtype == np.float32:
        rows = rows + np.float32(0)  # -0.0 and 0.0 are one value with two bit patterns
    hashes = _hashes(rows)
    if rows.ndim == 4 and rows.shape[1] == 3:
        grey = _grey(rows)
        hashes[grey] = _hashes(np.ascontiguousarray(rows[grey, :1]))
    return hashes


def _grey(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The rows [n, 3, H, W] whose channels agree; of most the first line tells that they do not."""
    found = np.arange(len(rows))
    for part in (rows[:, :, :1], rows):
        found = found[(part[found, :1] == part[found]).all((1, 2, 3))]
    return found


def _hashes(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    if not len(rows):
        return np.zeros(0, np.uint64)
    start = hashlib.blake2b(repr(rows.shape[1:]).encode(), digest_size=8)
    digests = bytearray()
    # One hash a row and not one matrix product: a linear hash collides on nearly equal images.
    for row in rows.reshape(len(rows), -1):
        digest = start.copy()
        digest.update(row.data)
        digests += digest.digest()
    return np.frombuffer(digests, np.uint64).copy()


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples held in memory.

    ``x`` is of one ``kind``: uint8 [N, C, H, W] (image), float32 [N, C, H, W] (field), float32 [N,
    C, L] (series), float32 [N, D] (vector, which may be sparse until a batch is made) or int64 [N,
    L] (tokens). ``y`` is int64 [N] (row of ``classes``), int64 [N, K] of zeros and ones (any of the
    K ``classes``), float32 [N] with ``classes == ()`` (regression), or int64 [N] full of -1 with
    ``classes == ()`` (no labels). An example without a label among others that have one is -1, or
    NaN of a regression (see ``known``). ``identity`` is a hash of each example before any shift,
    resizing or scaling, by which the same example is known again in another domain. ``columns`` are
    the names of a vector's entries, ``group`` says for each example what it belongs to (a patient,
    a recording): no group is on both sides of a split. ``notes`` are lines for the user: what was
    read otherwise than it may have been meant. ``rows`` are the positions in what was read,
    ``files`` the paths of examples that have a file each, ``factors`` what each was made from
    (integers in the order of ``reading["factors"]``), where a generator knows. ``form`` and
    ``scale`` say how raw arrays became ``x``, so that new ones can become the same; ``scale`` is
    fitted on the training rows. ``reading`` are JSON values that a set of tables or texts keeps
    besides: types, categories, means. With ``redrawn`` training draws each pixel as black or white
    anew in every epoch, by its grey value. ``entries`` says what columns stand for, or how many
    tokens there are.
    """

    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    identity: UInt64[np.ndarray, " N"]
    columns: tuple[str, ...] = ()
    group: Int[np.ndarray, " N"] | None = None
    notes: tuple[str, ...] = ()
    rows: Int[np.ndarray, " N"] | None = None
    files: np.ndarray | None = None
    factors: Int[np.ndarray, "N K"] | None = None
    form: Format | None = None
    scale: Scale | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    redrawn: bool = False
    entries: Entries = PLAIN

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.identity):
            raise ValueError(
                f"x, y and identity differ in length: "
                f"{len(self.x)}, {len(self.y)}, {len(self.identity)}"
            )

    @staticmethod
    def of(
        x: Tensor, y: Tensor, classes: tuple[str, ...], *, notes: Iterable[str] = ()
    ) -> "Examples":
        """Examples as they were read, with their identity computed from ``x``."""
        return Examples(x, y, classes, identity_of(x), notes=tuple(notes))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of images and fields, (C, L) of series, (D,) of vectors."""
        return tuple(self.x.shape[1:])

    @property
    def kind(self) -> ExampleKind:
        if self.x.dtype == torch.uint8:
            return "image"
        return _KINDS[self.x.is_floating_point(), self.x.dim()]

    @property
    def is_image(self) -> bool:
        return self.x.dtype == torch.uint8

    @property
    def labelled(self) -> bool:
        """Whether examples have labels; ``known`` says which of them do."""
        return bool(self.classes) or self.y.is_floating_point()

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each example has a label."""
        y: npt.NDArray[Any] = self.y.numpy()
        has = ~np.isnan(y) if y.dtype.kind == "f" else (y >= 0).reshape(len(y), -1).all(1)
        return np.asarray(has)

    def subset(self, index: Index) -> "Examples":
        rows = torch.as_tensor(index, dtype=torch.int64)
        where = rows.numpy()
        return replace(
            self,
            x=rows_of(self.x, rows),
            y=self.y[rows],
            identity=self.identity[where],
            **{
                name: array[where]
                for name in PER_EXAMPLE
                if (array := getattr(self, name)) is not None
            },
        )

    def told(self, *lines: str) -> "Examples":
        """The same examples with more to tell (a line once)."""
        return replace(self, notes=tuple(dict.fromkeys([*self.notes, *lines])))

    def inputs(
        self, index: Index | None = None, device: torch.device | str | None = None
    ) -> Float[Tensor, "n ..."]:
        """The examples as a network sees them: images in [0, 1], vectors as they are."""
        rows = self.x
        if index is not None:
            rows = rows_of(rows, torch.as_tensor(index, dtype=torch.int64))
        rows = to_unit(rows.to(device))
        return rows.nan_to_num(0) if self.has_holes else rows

    def present(self, index: Index | None = None) -> Bool[Tensor, "n ..."] | None:
        """Which entries of the examples were there; None where all of them were."""
        if not (self.has_holes or self.entries.marks or self.entries.categories):
            return None
        rows = self.x
        if index is not None:
            rows = rows_of(rows, torch.as_tensor(index, dtype=torch.int64))
        return present_in(rows, self.entries, has_holes=self.has_holes)

    @cached_property
    def has_holes(self) -> bool:
        """Whether entries of ``x`` are absent (NaN): networks see 0, losses do not count them."""
        if self.x.is_sparse or not self.x.is_floating_point():
            return False
        return any(bool(part.isnan().any()) for part in blocks(self.x))

    def fingerprint(self) -> str:
        """BLAKE2b of x, y, the classes and any groups, as 32 hexadecimal digits."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for tensor in (*parts_of(self.x), self.y):
            digest.update(repr((tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(tensor.contiguous().numpy().data)
        digest.update(repr(self.classes).encode())
        if self.redrawn:
            digest.update(b"redrawn")
        if self.entries != PLAIN:
            digest.update(repr(self.entries).encode())
        if self.group is not None:
            digest.update(np.ascontiguousarray(self.group).data)
        return digest.hexdigest()


def present_in(
    x: Float[Tensor, "n ..."], entries: Entries, *, has_holes: bool
) -> Bool[Tensor, "n ..."] | None:
    """Which entries of some rows of ``Examples.x`` were there; None where all of them were."""
    if has_holes:
        return ~x.isnan()
    return None if x.is_sparse else entries.present(x)


def stats_of(files: Iterable[Path], root: Path) -> list[tuple[str, int, int, int, int]]:
    """What stands for the content of files without reading them: the name below ``root``, the
    bytes, the times of the last write and of the last change of the inode, and its number.

    The time of a write can be set, and archives do: two folders unpacked from two of them can
    agree in names, sizes and times and hold other pixels. The inode's are the file system's own.
    """
    found = ((str(file.relative_to(root)), file.stat()) for file in files)
    return [
        (name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        for name, stat in found
    ]


def to_unit(x: Tensor) -> Float[Tensor, "n ..."]:
    """uint8 images to float32 in [0, 1]; float vectors as they are, of sparse ones all values.

    Tokens become floats that hold the same whole numbers.
    """
    if x.is_sparse:
        return x.to_dense()
    if x.dtype == torch.uint8:
        return x.float().div_(255)
    return x if x.is_floating_point() else x.float()


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A domain: what is read from files, how much of it is used, and the shift put upon it.

    Subclasses add the keys of their YAML as fields and implement ``read``. The keys here are those
    of ``conf/dataset/_base.yaml``: ``size`` limits the training pool (stratified); ``budget`` (in
    all, or of each class with ``per_class``), ``stratified`` and ``validation_fraction`` are for
    ``aetl.data.split.make_split``; ``test_fraction`` counts where there is no official test set (0
    uses a source whole; of a target nothing could be scored).
    ``binarise`` makes images black and white.
    With ``folds`` the test set is part ``fold`` (from 0) of so many equal ones. No group of
    examples is on both sides.
    """

    shift: Shift | None
    size: Count | None
    budget: Natural | Literal["all"]
    per_class: bool
    stratified: bool
    test_fraction: Annotated[float, Interval(ge=0, lt=1)]
    validation_fraction: Probability
    split_seed: Seed
    scale: Method | Literal["none"]
    scale_by: Literal["own", "source"]
    folds: Annotated[int, Ge(2)] | None
    fold: Natural
    binarise: Binarise

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise UserError(f"test_fraction={self.test_fraction}: must be at least 0 and below 1")
        if not 0 <= self.validation_fraction < 1:
            raise UserError(
                f"validation_fraction={self.validation_fraction}: must be at least 0 and below 1"
            )
        if self.size is not None and self.size < 1:
            raise UserError(f"size={self.size}: must be at least 1, or null for all")
        if self.budget != "all" and self.budget < 0:
            raise UserError(f"budget={self.budget}: must be at least 0, or 'all'")

    @abstractmethod
    def read(self) -> tuple[Examples, Examples | None]:
        """The training pool, and the official test set or None; before size and shift."""

    def prepared(
        self, train: Examples, test: Examples, source: Examples | None
    ) -> tuple[Examples, Examples]:
        """Both sets as a network sees them, by what was fitted on the training rows.

        ``source`` are the training rows of the source, where this is the target.
        """
        scale = self.fitted(train, source)
        if scale is None:
            return train, test
        pair = [replace(part, x=scale(part.x), scale=scale) for part in (train, test)]
        return pair[0], pair[1]

    def fitted(self, train: Examples, source: Examples | None) -> Scale | None:
        """The scale of the training rows, or of the source's; None leaves them as they are."""
        if self.scale == "none":
            return None
        if train.is_image:
            raise UserError(f"scale={self.scale}: is for vectors; images are always in [0, 1]")
        if train.kind == "tokens":
            raise UserError(f"scale={self.scale}: is for numbers, and these are tokens")
        if self.scale_by == "own" or source is None:
            return Scale.fit(train.x, self.scale)
        if source.scale is None or source.scale.method != self.scale:
            own = "none" if source.scale is None else source.scale.method
            raise UserError(
                f"scale_by=source: the source has scale={own}, and this set scale={self.scale}"
            )
        return source.scale

    def kept_by(self) -> Any | None:
        """All that decides what ``read`` gives (JSON values), where that is worth keeping."""
        return None

    @final
    def load(
        self,
        read: Callable[[], tuple[Examples, Examples | None]] | None = None,
        source: Examples | None = None,
    ) -> tuple[Examples, Examples]:
        """The training pool and the test set of the domain; ``read`` may stand in for the own one.

        ``source`` is the training pool of the source, where this is the target.

        Read; hold out a stratified test set where there is no official one; limit the size of the
        pool; scale; shift both. The parts keep the order of the files.
        """
        pool, test = (read or self.read)()
        pool = replace(pool, rows=np.arange(len(pool)))
        if test is not None:
            test = _with_labels(pool, replace(test, rows=np.arange(len(test))))
        kept, held = self._rows(pool, official=test is not None)
        stream = Rng.of("shift")
        if test is None:
            test, test_stream = pool.subset(held), stream.fork("train")
        else:
            held, test_stream = np.arange(len(test)), stream.fork("test")
        train = pool if len(kept) == len(pool) else pool.subset(kept)
        train, test = self.prepared(train, test, source)
        return (
            self._binarised(self._shifted(train, kept, stream.fork("train")), training=True),
            self._binarised(self._shifted(test, held, test_stream), training=False),
        )

    def _rows(self, pool: Examples, *, official: bool) -> tuple[npt.NDArray[np.int64], ...]:
        """Rows of the pool to train on, and those held out for the test, each in file order.

        Of a set that has labels only labelled examples are held out: nothing else can be scored.
        """
        key = Rng.of(self.split_seed, "test")
        order = stratified_order(pool.y, key, pool.classes)
        held = order[:0]
        if official and self.folds is not None:
            raise UserError(
                f"folds={self.folds}: this set has a test set of its own; set folds=null"
            )
        if not official:
            known = pool.known
            able = order[known[order]] if known.any() else order
            held = able[self._held(pool, able)]
            order = order[~np.isin(order, held)]
            if pool.group is not None:  # what has no label stays on the side of its group
                order = order[~np.isin(pool.group[order], pool.group[held])]
            if not len(order):
                raise UserError(
                    f"test_fraction={self.test_fraction}: leaves no training example of {len(pool)}"
                )
        num_kept = len(order) if self.size is None else self.size
        if num_kept > len(order):
            raise UserError(f"size={self.size}: there are only {len(order)} training examples")
        return np.sort(order[:num_kept]), np.sort(held)

    def _held(self, pool: Examples, able: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the rows, in a stratified order, are the test set."""
        if self.folds is None:
            if not self.test_fraction:
                return np.zeros(len(able), bool)
            if pool.group is not None:
                return held_groups(pool.group[able], self.test_fraction)
            chosen = np.zeros(len(able), bool)
            chosen[len(able) - max(1, round(self.test_fraction * len(able))) :] = True
            return chosen
        if self.fold >= self.folds:
            raise UserError(f"fold={self.fold}: there are folds 0 to {self.folds - 1}")
        if pool.group is None:
            # Every folds-th of a stratified order is stratified again.
            part = np.arange(len(able)) % self.folds
        else:
            part = parts_of_groups(pool.group[able], self.folds)
        if not (part == self.fold).any() or (part == self.fold).all():
            raise UserError(f"folds={self.folds}: fold {self.fold} would be empty, or all there is")
        return np.asarray(part == self.fold)

    def _shifted(self, examples: Examples, rows: npt.NDArray[np.int64], rng: Rng) -> Examples:
        """``rows`` are the positions in the files, so that ``size`` does not change the noise."""
        if self.shift is None or self.shift.neutral:
            return examples
        return replace(examples, x=self.shift.apply(examples.x, rows, rng))

    def _binarised(self, examples: Examples, *, training: bool) -> Examples:
        """Black and white: by ``epoch`` the training images are drawn anew in each, by the loader,
        and the others once."""
        if self.binarise == "none":
            return examples
        if not examples.is_image:
            raise UserError(
                f"binarise={self.binarise}: is for images, and this data is {examples.kind}"
            )
        if self.binarise == "epoch" and training:
            return replace(examples, redrawn=True)
        drawn = black_and_white(examples.x, identity_of(examples.x), self.binarise)
        return replace(examples, x=drawn)


def _with_labels(pool: Examples, test: Examples) -> Examples:
    """The test examples that can be scored: of a labelled set those that have a label."""
    known = test.known
    if known.all() or not pool.known.any():
        return test
    if not known.any():
        raise UserError(
            f"none of the {len(test)} test examples has a label, so nothing could be scored; label "
            "them, or leave the test set out: test_fraction of the training set is then held out"
        )
    return test.subset(np.flatnonzero(known)).told(
        f"{(~known).sum()} of {len(test)} test examples have no label and are left out"
    )
