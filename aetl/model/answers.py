"""What a model gives, one row for each example, and the files that it is written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aetl.files import atomic
from aetl.model.given import Given
from aetl.printable import in_utf8
from aetl.report.notebook import frame_of
from aetl.task.base import Task
from aetl.types import Prediction, UserError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet", ".npz")


@dataclass(frozen=True, repr=False)
class Answers:
    """Columns of equal length; ``arrays`` are what an ``.npz`` of them holds.

    The first column is the ``path`` of each example's file, or its ``row`` (from 0) without one.
    """

    columns: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame (``pip install 'aetl[table]'``)."""
        return pandas().DataFrame({name: list(v) for name, v in self.columns.items()})

    def save(self, path: str | Path) -> Path:
        """Write to ``.csv``, ``.parquet`` or ``.npz``."""
        path = Path(path)
        check_format(path)
        with atomic(path) as temporary:
            if path.suffix == ".npz":
                np.savez_compressed(temporary, **self.arrays)  # type: ignore[arg-type]
            elif path.suffix == ".csv":
                temporary.write_text(self.to_csv(), encoding="utf-8")
            else:
                arrow, parquet = _arrow()
                table = arrow.table({k: arrow.array(v) for k, v in self.columns.items()})
                parquet.write_table(table, temporary)
        return path

    def to_csv(self) -> str:
        """Every float by the shortest text that reads back as the same."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        return text.getvalue()

    def __repr__(self) -> str:
        shown = {name: list(map(_short, v[:5])) for name, v in self.columns.items()}
        names = list(shown)[:8]
        rows = [names, *zip(*(shown[name] for name in names), strict=True)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        more = f"{len(self)} rows, {len(self.columns)} columns"
        return "\n".join([*lines, more])

    def _repr_html_(self) -> str:
        columns = {name: values[:10].tolist() for name, values in list(self.columns.items())[:20]}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return frame_of(rows, f"{len(self)} rows, {len(self.columns)} columns")


class Predictions(Answers):
    """What an arm predicts: classes, labels or values, with probabilities where it has some."""

    @property
    def value(self) -> np.ndarray:
        """Rows of the classes, zeros and ones for each label, or values."""
        return self.arrays["prediction"]

    @property
    def probability(self) -> np.ndarray | None:
        """Of each class, or of each label; None of a regression."""
        return self.arrays.get("probability")


class Features(Answers):
    """The features of each example."""

    @property
    def value(self) -> np.ndarray:
        return self.arrays["features"]


def predictions_of(
    prediction: Prediction, task: Task, classes: Sequence[str], source: Given
) -> Predictions:
    """Named columns, as the task has them, and the arrays of a run's own predictions.npz."""
    arrays = prediction.arrays()
    shown = Prediction.of(arrays)  # probabilities as they are in the file
    return Predictions(origin(source) | task.columns(shown, classes), origin(source) | arrays)


def features_of(features: np.ndarray, source: Given) -> Features:
    columns = origin(source)
    arrays = dict(columns) | {"features": features}
    flat = features.reshape(len(features), -1)
    return Features(columns | {f"f{k}": flat[:, k] for k in range(flat.shape[1])}, arrays)


def scores_of(scores: np.ndarray, source: Given) -> Answers:
    columns = origin(source) | {"score": scores}
    return Answers(columns, columns)


def origin(source: Given) -> dict[str, np.ndarray]:
    """The column that says which example a row is."""
    if source.names is None:
        return {"row": np.arange(len(source)) if source.rows is None else source.rows}
    return {"path": np.array([in_utf8(name) for name in source.names], dtype=np.str_)}


def check_format(path: Path) -> None:
    """Refuse a file that could not be written, before any work."""
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: ends in none of {', '.join(FORMATS)}")
    if path.suffix == ".parquet":
        _arrow()


def pandas() -> Any:
    """The library, which is an extra."""
    try:
        import pandas
    except ImportError:
        raise UserError("DataFrames need pandas: pip install 'aetl[table]'") from None
    return pandas


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("parquet needs pyarrow: pip install 'aetl[table]'") from None
    return pyarrow, pyarrow.parquet


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
