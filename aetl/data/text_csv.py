"""Own texts in a column of a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from aetl.data.arrays import shown
from aetl.data.base import Examples, stats_of
from aetl.data.folder import typed
from aetl.data.labels import labels_of
from aetl.data.table import read_frame, texts
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
        frames = {name: self._columns(Path(path).expanduser()) for name, path in paths.items()}
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
        return sets[0].told(*labels.notes), sets[1] if len(sets) > 1 else None

    def kept_by(self) -> Any:
        """Text is parsed once."""
        paths = [Path(p).expanduser() for p in (self.path, self.test_path) if p is not None]
        for path in paths:
            if not path.is_file():
                raise UserError(f"path={path}: is not a file")
        keys = ("text", "target", "where", "group", "separator", "encoding", "unlabelled")
        files = [stats_of([path], path.parent) for path in paths]
        return {"files": files, **{key: getattr(self, key) for key in keys}}

    def _columns(self, path: Path) -> dict[str, np.ndarray]:
        """The columns that are asked for, as text, of the rows that ``where`` chooses."""
        frame, _ = read_frame(path, self.separator, ".", self.encoding, [])
        wanted = {"text": self.text, "target": self.target, "group": self.group}
        for key, name in wanted.items():
            if name is not None and name not in frame:
                raise UserError(f"{key}={name}: {path} has no such column; it has {shown(frame)}")
        names = {name for name in wanted.values() if name is not None}
        beside = {name for name in columns_of(self.where) if name in frame}
        columns = {name: texts(frame[name]) for name in sorted(names | beside)}
        if self.where is None:
            return columns
        rows = rows_where(columns, self.where, str(path))
        return {name: values[rows] for name, values in columns.items()}


def _group(named: np.ndarray | None) -> np.ndarray | None:
    if named is None:
        return None
    return np.unique(named, return_inverse=True)[1].reshape(-1).astype(np.int64)
