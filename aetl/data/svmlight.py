"""Own vectors in svmlight's format, sparse until a batch is made.

T. Joachims (1999), Making large-scale SVM learning practical.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from scipy.sparse import csr_array

from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.encoding import refuse_zeros
from aetl.data.labels import labels_of
from aetl.data.sparse import tensor_of
from aetl.ranges import Count, Text
from aetl.types import UserError

MOST = 2**31 - 1
"""The last column, as the files are read and as sparse tensors count."""


@dataclass(frozen=True, kw_only=True)
class SvmLight(Dataset):
    """A line for each example: ``label column:value column:value ... # comment``.

    ``columns`` is how many there are (null: as many as the training file names); a test file may
    not name more. Columns count from 1, or from 0 where the training file names one 0. Labels that
    are whole numbers are classes, others a regression, unless ``regression`` says that all are.
    """

    path: Text
    test_path: Text | None
    columns: Count | None
    regression: bool
    unlabelled: Annotated[int, Interval(ge=-(2**63), lt=2**63)] | str | None

    def read(self) -> tuple[Examples, Examples | None]:
        pool = read_lines(Path(self.path).expanduser())
        test = None if self.test_path is None else read_lines(Path(self.test_path).expanduser())
        parts = {"training": pool} | ({} if test is None else {"test": test})
        first = min(part.first for part in parts.values())
        start = 0 if first == 0 else 1
        width = self.columns or pool.last - start + 1
        labels = labels_of(
            str(self.path),
            {name: self._labels(part.labels) for name, part in parts.items()},
            {name: len(part.labels) for name, part in parts.items()},
            self.unlabelled,
        )
        sets = [
            Examples.of(tensor_of(part.matrix(start, width)), labels.targets[name], labels.classes)
            for name, part in parts.items()
        ]
        return sets[0].told(*labels.notes), sets[1] if test is not None else None

    def _labels(self, labels: np.ndarray) -> np.ndarray:
        whole = not self.regression and bool((labels % 1 == 0).all())
        return labels.astype(np.int64) if whole else labels

    def kept_by(self) -> Any:
        """Text is parsed once."""
        paths = [Path(p).expanduser() for p in (self.path, self.test_path) if p is not None]
        for path in paths:
            if not path.is_file():
                raise UserError(f"path={path}: is not a file")
        files = [stats_of([path], path.parent) for path in paths]
        return {"files": files, **{k: getattr(self, k) for k in ("columns", "regression")},
                "unlabelled": self.unlabelled}  # fmt: skip


@dataclass(frozen=True)
class Lines:
    """The labels of a file, and its values with their columns as the file counts them."""

    path: Path
    labels: np.ndarray
    ends: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @property
    def first(self) -> int:
        return int(self.columns.min()) if len(self.columns) else 1

    @property
    def last(self) -> int:
        return int(self.columns.max()) if len(self.columns) else 1

    def matrix(self, start: int, width: int) -> csr_array:
        """Its rows, in ``width`` columns of which ``start`` is the first."""
        columns = self.columns - start
        if len(columns) and columns.max() >= width:
            row = int(np.searchsorted(self.ends, int(columns.argmax()), side="right"))
            raise UserError(
                f"{self.path}: names column {self.last} in row {row}, and there are {width}; set "
                "columns=... to the number of them"
            )
        pointers = np.concatenate([[0], self.ends])
        shape = (len(self.labels), width)
        return csr_array((self.values, columns, pointers), shape=shape, dtype=np.float32)


def read_lines(path: Path) -> Lines:
    """A file of the format; ``UserError`` names the line of what cannot be read."""
    if not path.is_file():
        raise UserError(f"path={path}: is not a file")
    if (found := _read_fast(path)) is not None:
        return found
    labels: list[float] = []
    ends: list[int] = []
    parts: list[np.ndarray] = []
    total = 0
    for number, label, pairs in _lines(path):
        if pairs.size % 2 or (pairs[::2] % 1 != 0).any() or (pairs[::2] < 0).any():
            raise UserError(f"{path}: line {number} is no list of column:value")
        if pairs.size and pairs[::2].max() > MOST:
            raise UserError(f"{path}: line {number} names column {pairs[::2].max():.0f}; the last "
                            f"one that can be is {MOST}")  # fmt: skip
        if not np.isfinite(pairs).all() or not np.isfinite(label):
            raise UserError(f"{path}: line {number} holds NaN or infinity")
        if (np.diff(pairs[::2]) <= 0).any():
            raise UserError(f"{path}: line {number} names a column twice, or not in order")
        labels.append(label)
        parts.append(pairs)
        total += len(pairs) // 2
        ends.append(total)
    if not labels:
        raise UserError(f"{path}: is empty")
    flat = np.concatenate(parts)
    return Lines(
        path, np.array(labels), np.array(ends), flat[::2].astype(np.int64),
        flat[1::2].astype(np.float32),
    )  # fmt: skip


def _read_fast(path: Path) -> Lines | None:
    """By scikit-learn, which does not say in which line a mistake is; None where there is one."""
    from sklearn.datasets import load_svmlight_file  # slow to import

    try:
        matrix, labels = load_svmlight_file(str(path), zero_based=True)
    except (ValueError, OverflowError):
        return None
    if not len(labels) or not np.isfinite(matrix.data).all() or not np.isfinite(labels).all():
        return None
    ends, columns = matrix.indptr[1:].astype(np.int64), matrix.indices.astype(np.int64)
    return Lines(path, labels, ends, columns, matrix.data.astype(np.float32))


def _lines(path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """The number of each line, its label, and columns and values in turn."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            refuse_zeros(path, line, "utf-8", "save it in utf-8 (it may be in {})")
            words = line.partition("#")[0].replace(":", " : ").split()
            if not words:
                continue
            pairs = [word for word in words[1:] if word != ":"]
            try:
                values = np.array(pairs, np.float64)
                label = float(words[0])
            except ValueError:
                raise UserError(
                    f"{path}: line {number} is no label and list of column:value ({line[:40]!r})"
                ) from None
            if 3 * len(pairs) != 2 * (len(words) - 1):
                raise UserError(f"{path}: line {number} is no list of column:value")
            yield number, label, values
