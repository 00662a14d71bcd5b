"""Own series: arrays, .ts files, a csv in long form; whole, or windows of long recordings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Interval

from aetl.data.arrays import Layout, format_of, shown
from aetl.data.base import Dataset, Examples, identity_of, stats_of
from aetl.data.labels import labels_of
from aetl.data.npz import load_arrays
from aetl.data.table import nearly_numbers, no_column, read_frame, refuse_infinite, texts
from aetl.data.ts import Signal, read_ts
from aetl.data.where import as_texts, rows_where
from aetl.ranges import Count, Text
from aetl.types import UserError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recordings:
    """Signals [C, L] of any length, what is asked of each, and its further columns."""

    signals: list[Signal]
    y: Array | None
    columns: dict[str, Array]
    channels: tuple[str, ...] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Series(Dataset):
    """Signals of one number of channels, from ``path``:

    - ``.npz``: ``x`` [N, C, L] or [N, L] with ``y``, or ``x_train``, ``y_train``, ``x_test``,
      ``y_test``; further arrays with N entries are columns;
    - ``.ts``, or a folder with ``*_TRAIN.ts`` and ``*_TEST.ts`` (Bagnall et al., 2018,
      arXiv:1811.00075);
    - ``.csv``: a row for each moment; ``id`` names the column that says which recording it is of,
      ``time`` the one that orders it, ``target`` what is asked of the recording; all other columns
      of numbers are channels.

    ``where`` chooses recordings by their columns, and no value of ``group`` is on both sides of a
    split. With ``window`` an example is that many moments of a recording, every ``stride`` of them,
    and the recording is the group where no other is named. Signals of different lengths end in
    moments that are absent: networks see zeros there, and losses do not count them.
    """

    path: Text
    layout: Layout
    id: Text | None
    time: Text | None
    target: Text | None
    where: Text | None
    group: Text | None
    window: Count | None
    stride: Count | None
    missing: Sequence[str]
    separator: str | None
    decimal: str
    encoding: str
    unlabelled: Annotated[int, Interval(ge=-(2**63), lt=2**63)] | str | None

    def read(self) -> tuple[Examples, Examples | None]:
        parts = {name: self._chosen(part) for name, part in self._parts().items()}
        labels = labels_of(
            str(self.path),
            {name: part.y for name, part in parts.items()},
            {name: len(part.signals) for name, part in parts.items()},
            self.unlabelled,
        )
        length = max(signal.shape[1] for part in parts.values() for signal in part.signals)
        length = self.window or length
        sets = [
            self._examples(part, labels.targets[name], labels.classes, length)
            for name, part in parts.items()
        ]
        if len({part.shape for part in sets}) > 1:
            raise UserError(
                f"{self.path}: the training series have {sets[0].shape[0]} channels, those of the "
                f"test set {sets[1].shape[0]}"
            )
        pool = sets[0].told(*parts["training"].notes, *labels.notes)
        return pool, sets[1] if len(sets) > 1 else None

    def kept_by(self) -> Any:
        """Text is parsed once."""
        path = self._path()
        files = _ts_files(path) if path.is_dir() else [path]
        keys = ("layout", "id", "time", "target", "where", "group", "window", "stride",
                "separator", "decimal", "encoding", "unlabelled")  # fmt: skip
        own = {key: getattr(self, key) for key in keys} | {"missing": list(self.missing)}
        return {"files": stats_of(files, path.parent), **own}

    def _path(self) -> Path:
        path = Path(self.path).expanduser()
        if not path.exists():
            raise UserError(f"path={path}: there is no such file or folder")
        return path

    def _parts(self) -> dict[str, Recordings]:
        path = self._path()
        if path.is_dir():
            found = [self._of_ts(file) for file in _ts_files(path)]
            return dict(zip(("training", "test"), found, strict=False))
        if path.suffix.lower() == ".ts":
            return {"training": self._of_ts(path)}
        if path.suffix.lower() == ".npz":
            return _of_arrays(path, load_arrays(path), self.layout)
        if path.suffix.lower() == ".csv":
            return {"training": self._of_rows(path)}
        raise UserError(f"{path}: is of no known kind (.npz .ts .csv, or a folder of *_TRAIN.ts)")

    def _chosen(self, part: Recordings) -> Recordings:
        if self.where is None:
            return part
        rows = rows_where(part.columns, self.where, str(self.path))
        return Recordings(
            [part.signals[i] for i in np.flatnonzero(rows)],
            None if part.y is None else part.y[rows],
            {name: values[rows] for name, values in part.columns.items()},
            part.channels,
            part.notes,
        )

    def _examples(
        self, part: Recordings, y: torch.Tensor, classes: tuple[str, ...], length: int
    ) -> Examples:
        """One for each recording, or for each window of it."""
        group = self._group(part)
        pieces, whose = [], []
        for place, signal in enumerate(part.signals):
            cut = [signal] if self.window is None else self._windows(signal, place)
            pieces += cut
            whose += [place] * len(cut)
        x = np.full((len(pieces), pieces[0].shape[0], length), np.nan, np.float32)
        for row, piece in enumerate(pieces):
            x[row, :, : piece.shape[1]] = piece[:, :length]
        if np.isinf(x).any():
            row = whose[int(np.flatnonzero(np.isinf(x).any((1, 2)))[0])]
            raise UserError(f"{self.path}: recording {row} holds infinity")
        tensor, rows = torch.from_numpy(x), np.array(whose)
        examples = Examples(tensor, y[rows], classes, identity_of(tensor))
        kept = None if group is None else group[rows]
        return replace(examples, group=kept, columns=part.channels)

    def _windows(self, signal: Signal, place: int) -> list[Signal]:
        assert self.window is not None
        if signal.shape[1] < self.window:
            raise UserError(
                f"window={self.window}: is longer than recording {place} of {self.path}, which has "
                f"{signal.shape[1]} moments"
            )
        starts = range(0, signal.shape[1] - self.window + 1, self.stride or self.window)
        return [signal[:, start : start + self.window] for start in starts]

    def _group(self, part: Recordings) -> npt.NDArray[np.int64] | None:
        if self.group is not None:
            if self.group not in part.columns:
                raise UserError(f"group={self.group}: there is no such column; there are "
                                f"{shown(part.columns) or 'none'}")  # fmt: skip
            named = np.unique(as_texts(part.columns[self.group]), return_inverse=True)[1]
            return named.reshape(-1).astype(np.int64)
        return None if self.window is None else np.arange(len(part.signals))

    def _of_rows(self, path: Path) -> Recordings:
        """A csv in long form."""
        frame, notes = read_frame(path, self.separator, self.decimal, self.encoding, self.missing)
        if self.id is None:
            raise UserError(f"id: {path} needs the column that says which series a row is of")
        for key in ("id", "time", "target", "group"):
            name = getattr(self, key)
            if name is not None and name not in frame:
                raise no_column(key, name, path, frame)
        named = (self.id, self.time, self.target, self.group)
        said = {name for name in named if name is not None}
        _refuse_cells(path, frame, said)
        if self.time is not None:
            notes = [*notes, *_told_of_times(path, frame, self.id, self.time)]
            frame = frame.sort_values([self.id, self.time], kind="stable")
        whose = texts(frame[self.id])
        ids, first, place = np.unique(whose, return_index=True, return_inverse=True)
        others = [name for name in frame if name not in said]
        numbers = [name for name in others if frame[name].dtype.kind in "iufb"]
        asked = said - {self.time}
        candidates = [name for name in frame if name in asked or name in set(others) - set(numbers)]
        constant = {
            name: _constant(path, frame[name], place, first, name in asked) for name in candidates
        }
        columns = {name: values for name, values in constant.items() if values is not None}
        if not numbers:
            raise UserError(f"{path}: has no column of numbers beside {shown(sorted(said))}")
        values = np.asarray(frame[numbers], np.float32)
        signals = [np.ascontiguousarray(values[place == k].T) for k in range(len(ids))]
        y = None if self.target is None else columns[self.target]
        return Recordings(signals, y, columns, tuple(numbers), notes)

    def _of_ts(self, path: Path) -> Recordings:
        signals, labels = read_ts(path, self.encoding)
        return Recordings(signals, labels, {} if labels is None else {"label": as_texts(labels)})

    def prepared(
        self, train: Examples, test: Examples, source: Examples | None
    ) -> tuple[Examples, Examples]:
        """Channels with names are in the order of the source's."""
        wanted = () if source is None else source.columns
        if wanted and train.columns and wanted != train.columns:
            if sorted(wanted) != sorted(train.columns):
                raise UserError(
                    f"{self.path}: has the channels {shown(train.columns)}, and the source has "
                    f"{shown(wanted)}; give them the same names"
                )
            order = torch.tensor([train.columns.index(name) for name in wanted])
            train, test = (
                replace(part, x=part.x[:, order], columns=wanted) for part in (train, test)
            )
        return super().prepared(train, test, source)


def _refuse_cells(path: Path, frame: Any, said: set[str]) -> None:
    """Texts among numbers, infinities, and rows of no series."""
    for name in frame:
        column = frame[name]
        if name in said:
            if (holes := np.flatnonzero(column.isna())).size:
                raise UserError(f"{path}: column {name} has no value in row {holes[0]}")
        elif column.dtype.kind == "f":
            refuse_infinite(str(path), name, column.to_numpy())
        elif column.dtype.name == "category" and (line := nearly_numbers(column)) is not None:
            raise UserError(f"{path}: {line}")


_SORTED = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?|\d{2}:\d{2}(:\d{2}(\.\d+)?)?")
"""Times whose texts are in the order of what they mean."""


def _told_of_times(path: Path, frame: Any, id_: str, time: str) -> list[str]:
    """A line where moments have no order; refuses texts whose order is another than theirs."""
    if frame[time].dtype.name == "category":
        odd = [t for t in map(str, frame[time].cat.categories) if _SORTED.fullmatch(t) is None]
        if odd:
            raise UserError(
                f"{path}: column {time} holds '{odd[0]}', which is no number and no time like "
                "2020-01-31 or 2020-01-31 18:05:00, so that rows cannot be put in order"
            )
    same = frame.duplicated([id_, time])
    if not same.any():
        return []
    first = int(np.flatnonzero(same)[0])
    return [
        f"{int(same.sum())} rows have the same {time} as another one of their series (the first is "
        f"row {first}); those stay in the order of the file"
    ]


def _constant(path: Path, column: Any, place: Array, first: Array, needed: bool) -> Array | None:
    """A column that says something of whole recordings, as numbers or text."""
    numeric = column.dtype.kind in "iuf"
    rows = np.asarray(column) if numeric else texts(column)
    values = rows[first]
    same = (rows == values[place]) | (rows != rows)
    if same.all():
        return values
    if needed:
        raise UserError(f"{path}: column {column.name} changes within one series, at row "
                        f"{int(np.flatnonzero(~same)[0])}")  # fmt: skip
    return None


def _ts_files(folder: Path) -> list[Path]:
    """The training and, where there is one, the test file."""
    found = []
    for part in ("TRAIN", "TEST"):
        files = sorted(folder.glob(f"*_{part}.ts"))
        if len(files) > 1 or (not files and part == "TRAIN"):
            raise UserError(f"{folder}: holds {len(files)} files *_{part}.ts, and must hold one")
        found += files
    return found


def _of_arrays(path: Path, arrays: Mapping[str, Array], layout: Layout) -> dict[str, Recordings]:
    pairs = {"training": ("x_train", "y_train"), "test": ("x_test", "y_test")}
    if "x" in arrays:
        pairs = {"training": ("x", "y")}
    if pairs["training"][0] not in arrays:
        raise UserError(f"{path}: has no array x or x_train; it holds {shown(arrays) or 'nothing'}")
    found = {}
    for part, (x, y) in pairs.items():
        if x not in arrays:
            continue
        form, _ = format_of(str(path), {x: arrays[x]}, layout, "series")
        signals = list(form.read(f"{path}: {x}", arrays[x]).numpy())
        beside = {n: a for n, a in arrays.items() if n not in (x, y) and a.shape == (len(signals),)}
        texts = {n: a if a.dtype.kind in "iuf" else a.astype(str) for n, a in beside.items()}
        found[part] = Recordings(signals, arrays.get(y), texts)
    return found
