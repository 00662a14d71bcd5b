"""Own texts in a column of a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from aetl.data.base import Examples, stats_of
from aetl.data.folder import typed
from aetl.data.labels import labels_of
from aetl.data.table import no_column, read_frame, texts
from aetl.data.texts import Texts, examples_of
from aetl.data.where import columns_of, rows_where
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class TextCsv(Texts):
    """A row for each text, in the column ``text``; ``target`` is the one to be foretold."""

    path: Text
    test_path: Text | None
    text: Text
    target: Text | None
    where: Text | None
    group: Text | None
    separator: str | None
    encoding: Text
    unlabelled: Annotated[int, Interval(ge=-(2**63), lt=2**63)] | str | None

    def read(self) -> tuple[Examples, Examples | None]:
        paths = {"training": self.path} | (
            {} if self.test_path is None else {"test": self.test_path}
        )
        read = {name: self._columns(Path(path).expanduser()) for name, path in paths.items()}
        frames = {name: columns for name, (columns, _) in read.items()}
        notes = [line for _, lines in read.values() for line in lines]
        labels = labels_of(
            str(self.path),
            {n: None if self.target is None else typed(c[self.target]) for n, c in frames.items()},
            {name: len(columns[self.text]) for name, columns in frames.items()},
            self.unlabelled,
        )
        sets = [
            examples_of(c[self.text].tolist(), labels.targets[n], labels.classes, group=_group(
                None if self.group is None else c[self.group]))
            for n, c in frames.items()
        ]  # fmt: skip
        return sets[0].told(*notes, *labels.notes), sets[1] if len(sets) > 1 else None

    def files(self) -> dict[str, Any]:
        names = ("encoding", "text", "separator")
        return {"texts": {name: getattr(self, name) for name in names}}

    def kept_by(self) -> Any:
        """Text is parsed once."""
        paths = [Path(p).expanduser() for p in (self.path, self.test_path) if p is not None]
        for path in paths:
            if not path.is_file():
                raise UserError(f"path={path}: is not a file")
        keys = ("text", "target", "where", "group", "separator", "encoding", "unlabelled",
                "wordless")  # fmt: skip
        files = [stats_of([path], path.parent) for path in paths]
        return {"files": files, **{key: getattr(self, key) for key in keys}}

    def _columns(self, path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
        """The columns that are asked for, as text, of the rows that ``where`` chooses."""
        frame, notes = read_frame(path, self.separator, ".", self.encoding, [])
        wanted = {"text": self.text, "target": self.target, "group": self.group}
        for key, name in wanted.items():
            if name is not None and name not in frame:
                raise no_column(key, name, path, frame)
        names = {name for name in wanted.values() if name is not None}
        beside = {name for name in columns_of(self.where) if name in frame}
        columns = {name: texts(frame[name]) for name in sorted((names | beside) - {self.text})}
        columns[self.text] = _said(frame[self.text])
        rows = np.arange(len(frame))
        if self.where is not None:
            rows = np.flatnonzero(rows_where(columns, self.where, str(path)))
            columns = {name: values[rows] for name, values in columns.items()}
        self.with_words([f"{path}: row {row}" for row in rows], columns[self.text].tolist())
        return columns, notes


def _said(column: Any) -> np.ndarray:
    """The texts of a column as objects: in an array of texts each takes the longest one's room."""
    if column.dtype.name != "category":
        return texts(column).astype(object)
    names = np.array([*map(str, column.cat.categories), ""], object)
    said: np.ndarray = names[column.cat.codes]
    return said


def _group(named: np.ndarray | None) -> np.ndarray | None:
    if named is None:
        return None
    return np.unique(named, return_inverse=True)[1].reshape(-1).astype(np.int64)
