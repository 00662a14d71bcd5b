"""Own tables: csv, tsv or parquet, with numbers, categories, holes and groups."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Interval, Le

from aetl.data.arrays import shown
from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.csv_file import SEPARATORS, read_csv
from aetl.data.encoding import refuse_zeros, refused
from aetl.data.labels import Texts, labels_of
from aetl.data.scale import FITTED, Scale
from aetl.data.where import as_texts, columns_of, rows_where
from aetl.ranges import Text
from aetl.types import Entries, UserError

if TYPE_CHECKING:
    import pandas as pd

ColumnType = Literal["number", "category"]
Raw = list[dict[str, Any]]
"""The columns of a table as they were read: ``name``, ``type``, and of categories all texts."""
Fitted = list[dict[str, Any]]
"""The same as fitted on a training part: the ``mean`` of numbers and whether any was ``missing``,
the ``categories`` that were there."""

# A column of texts of which more are numbers has a few that should not be there.
MOSTLY = 0.5
# Rows that are put together at a time.
BLOCK = 8192


@dataclass(frozen=True, kw_only=True)
class Table(Dataset):
    """One row for each example; ``target`` is the column to be foretold.

    A column of numbers stays one; a column of text becomes one column for each of its categories,
    and one more for those that training never saw and for holes. Holes among numbers take the
    mean, and a column says where they were. ``types`` overrules what was found. A target of
    whole numbers or text are classes, of others a regression (``types`` of it overrules that,
    too). ``ignore`` leaves columns out, as ``where`` and ``group`` do with those that they name.

    Everything is fitted on the training pool alone. A target's columns are matched with the
    source's by their names: what the target lacks is filled as a hole, what it has besides is left
    out (``columns=own`` keeps the target's), and less than ``min_overlap`` of the source's columns
    is refused.
    """

    path: Text
    test_path: Text | None
    target: str | None
    types: Mapping[str, ColumnType]
    ignore: Sequence[str]
    where: str | None
    group: str | None
    missing: Sequence[str]
    separator: str | None
    decimal: str
    encoding: str
    max_categories: Annotated[int, Ge(2)]
    columns: Literal["source", "own"]
    min_overlap: Annotated[float, Ge(0), Le(1)]
    unlabelled: Annotated[int, Interval(ge=-(2**63), lt=2**63)] | str | None

    def read(self) -> tuple[Examples, Examples | None]:
        frame, notes = self._frame(Path(self.path).expanduser())
        test = None
        if self.test_path is not None:
            test, _ = self._frame(Path(self.test_path).expanduser())
        frames = {"training": frame} | ({} if test is None else {"test": test})
        features, lines = self._features(frame)
        labels = labels_of(
            str(self.path),
            {n: None if self.target is None else self._labels(f) for n, f in frames.items()},
            {name: len(f) for name, f in frames.items()},
            self.unlabelled,
        )
        sets = []
        for name, part in frames.items():
            raw, x, identity = self._raw(part, features)
            group = None
            if self.group is not None:
                named = texts(self._column(part, self.group, "group"))
                group = np.unique(named, return_inverse=True)[1].astype(np.int64)
            sets.append(Examples(
                torch.from_numpy(x), labels.targets[name], labels.classes, identity, group=group,
                reading={"raw": raw},
            ))  # fmt: skip
        pool = sets[0].told(*notes, *lines, *labels.notes)
        return pool, sets[1] if test is not None else None

    def kept_by(self) -> Any:
        """Text is parsed once."""
        paths = [Path(p).expanduser() for p in (self.path, self.test_path) if p is not None]
        for path in paths:
            if not path.is_file():
                raise UserError(f"path={path}: is not a file")
        keys = ("target", "where", "group", "separator", "decimal", "encoding", "max_categories",
                "unlabelled")  # fmt: skip
        files = [stats_of([path], path.parent) for path in paths]
        lists = {"ignore": list(self.ignore), "missing": list(self.missing)}
        own = {key: getattr(self, key) for key in keys}
        return {"files": files, "types": dict(self.types)} | lists | own

    def prepared(
        self, train: Examples, test: Examples, source: Examples | None
    ) -> tuple[Examples, Examples]:
        fitted = fit_columns(train)
        notes: list[str] = []
        if source is not None and "columns" in source.reading:
            there: Fitted = list(source.reading["columns"])
            notes = self._matched(there, fitted)
            kept = _as_in_source(there, fitted, statistics=self.scale_by == "source")
            fitted = kept if self.columns == "source" else _joined(kept, fitted)
        train, test = (apply_columns(part, fitted) for part in (train, test))
        if self.columns == "own" and self.scale_by == "source" and source is not None:
            raise UserError("scale_by=source: the columns are not the source's with columns=own")
        scale = self.fitted(train, source)
        if scale is not None and scale is not getattr(source, "scale", None):
            scale = _of_numbers(scale, train, fitted)
        options = {"separator": self.separator, "decimal": self.decimal, "encoding": self.encoding,
                   "missing": list(self.missing)}  # fmt: skip
        reading = {"columns": fitted, "table": options}
        train, test = (
            replace(
                part, x=part.x if scale is None else scale(part.x), scale=scale, reading=reading
            )
            for part in (train, test)
        )
        return train.told(*notes), test

    def _frame(self, path: Path) -> tuple["pd.DataFrame", list[str]]:
        """The rows of a file that ``where`` chooses."""
        frame, notes = read_frame(path, self.separator, self.decimal, self.encoding, self.missing)
        if self.where is not None:
            named = {n: _plain(frame[n]) for n in columns_of(self.where) if n in frame}
            frame = frame[rows_where(named, self.where, str(path))].reset_index(drop=True)
        return frame, notes

    def _column(self, frame: "pd.DataFrame", name: str, key: str) -> "pd.Series[Any]":
        if name not in frame:
            raise no_column(key, name, self.path, frame)
        return frame[name]

    def _labels(self, frame: "pd.DataFrame") -> npt.NDArray[Any] | Texts:
        """The target as numbers, whole numbers or text."""
        assert self.target is not None
        column = self._column(frame, self.target, "target")
        given = self.types.get(self.target)
        if given == "number":
            return np.asarray(_numbers(str(self.path), column), np.float64)
        if column.dtype.name == "category":
            codes = column.cat.codes.to_numpy().astype(np.int64)
            hole = len(column.cat.categories)
            return Texts(
                np.array([*column.cat.categories, ""], str), np.where(codes < 0, hole, codes)
            )
        numeric = column.dtype.kind in "iuf"
        whole = numeric and (column.dropna() % 1 == 0).all()
        has_holes = bool(column.isna().any())
        if given == "category":
            return texts(column)
        if numeric and not (whole and (column.dtype.kind != "f" or has_holes)):
            return np.asarray(column, np.float64)
        return texts(column) if has_holes or not numeric else np.asarray(column)

    def _features(self, frame: "pd.DataFrame") -> tuple[dict[str, ColumnType], list[str]]:
        """The columns that are inputs with their types, and what is told of others."""
        for key in ("ignore", "types"):
            for name in getattr(self, key):
                self._column(frame, name, key)
        out = {self.target, self.group, *self.ignore, *columns_of(self.where)}
        features: dict[str, ColumnType] = {}
        notes = []
        for name in map(str, frame):
            if name in out:
                continue
            column = frame[name]
            if name in self.types:
                features[name] = self.types[name]
            elif (said := _without_meaning(name, column)) is not None:
                way = f" (+types.{name}=category keeps it)" if name.isidentifier() else ""
                notes.append(f"column {name} {said} and is left out{way}")
            elif column.dtype.kind in "iufb":
                features[name] = "number"
            elif column.dtype.kind in "mM":
                notes.append(f"column {name} holds times and is left out")
            elif (said := nearly_numbers(column)) is not None:
                raise UserError(f"{self.path}: {said}; +types.{name}=category takes all for texts")
            elif column.nunique() > max(self.max_categories, len(frame) / 2):
                number = column.nunique()
                notes.append(
                    f"column {name} has {number} different texts and is left out "
                    f"(+types.{name}=category keeps the most frequent)"
                )
            else:
                features[name] = "category"
        if not features:
            raise UserError(f"{self.path}: has no column to learn from; it has {shown(frame)}")
        return features, notes

    def _raw(
        self, frame: "pd.DataFrame", features: Mapping[str, ColumnType]
    ) -> tuple[Raw, npt.NDArray[np.float32], npt.NDArray[np.uint64]]:
        """Numbers, and the places of texts among all of their column; NaN for holes."""
        import pandas as pd

        raw: Raw = []
        x = np.empty((len(frame), len(features)), np.float32)
        hashed = {}
        for place, (name, type_) in enumerate(features.items()):
            column = self._column(frame, name, "test_path")
            if type_ == "number":
                numbers = _numbers(str(self.path), column).to_numpy(np.float64)
                refuse_infinite(str(self.path), name, numbers)
                x[:, place], hashed[name] = numbers, numbers
                raw.append({"name": name, "type": type_})
            else:
                names, codes = _coded(column)
                counts = np.bincount(codes, minlength=len(names))[:-1]  # but for holes
                most = np.argsort(-counts, kind="stable")[: self.max_categories]
                chosen = np.sort(most[counts[most] > 0])
                moved = np.full(len(names), np.nan, np.float32)
                moved[chosen] = np.arange(len(chosen))
                x[:, place] = moved[codes]
                kept = [names[k] for k in chosen]
                hashed[name] = pd.Categorical.from_codes(codes, names)
                raw.append({"name": name, "type": type_, "categories": kept})
        ordered = {name: hashed[name] for name in sorted(hashed)}
        identity = pd.util.hash_pandas_object(pd.DataFrame(ordered, copy=False), index=False)
        return raw, x, identity.to_numpy(np.uint64)

    def _matched(self, source: Fitted, own: Fitted) -> list[str]:
        """What is told of columns that only one has; refuses too small an overlap."""
        there, here = ({c["name"]: c["type"] for c in columns} for columns in (source, own))
        shared = [name for name in there if name in here]
        if len(shared) < self.min_overlap * len(there) or not shared:
            raise UserError(
                f"{self.path}: has {len(shared)} of the source's {len(there)} columns "
                f"({shown(there)}), less than min_overlap={self.min_overlap}; it has {shown(here)}"
            )
        for name in shared:
            if there[name] != here[name]:
                raise UserError(
                    f"{self.path}: column {name} holds {_plural(here[name])}, and the source's "
                    f"{_plural(there[name])}; set types.{name} of both to one of them"
                )
        lacking = [name for name in there if name not in here]
        besides = [name for name in here if name not in there]
        notes = []
        if self.columns == "own":
            if lacking:
                notes.append(f"{len(lacking)} of the source's {len(there)} columns are not here "
                             f"({shown(lacking)})")  # fmt: skip
            if besides:
                notes.append(f"{len(besides)} columns are not in the source and start anew "
                             f"({shown(besides)})")  # fmt: skip
            return notes
        if lacking:
            notes.append(
                f"{len(lacking)} of the source's {len(there)} columns are not here and are filled "
                f"as holes ({shown(lacking)})"
            )
        if besides:
            notes.append(f"{len(besides)} columns are not in the source and are left out "
                         f"({shown(besides)})")  # fmt: skip
        return notes


def read_frame(
    path: Path, separator: str | None, decimal: str, encoding: str, missing: Sequence[str]
) -> tuple["pd.DataFrame", list[str]]:
    """A file as a DataFrame, whose columns of text are categories in the order of the alphabet.

    ``UserError`` with the line for what cannot be parsed.
    """
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError("tables need pandas and pyarrow: pip install 'aetl[table]'") from None
    if not path.is_file():
        raise UserError(f"path={path}: is not a file")
    if path.suffix.lower() in (".parquet", ".pq"):
        frame, notes = _read_parquet(path)
        frame = _checked(path, frame.reset_index(drop=True))
        texts = {n: _as_category(frame[n]) for n in frame if _is_text(frame[n])}
        return frame.assign(**texts), notes
    notes = []
    if separator is None:
        separator = _separator(path, encoding)
        if separator != "," and path.suffix.lower() != ".tsv":
            notes.append(f"the columns are separated by {separator!r} (separator=... overrules)")
    return _checked(path, read_csv(path, separator, decimal, encoding, missing)), notes


def _read_parquet(path: Path) -> tuple["pd.DataFrame", list[str]]:
    """Columns of numbers, truth, text and times; of others it is told that they are left out."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        kinds = pa.types
        others = (kinds.is_nested, kinds.is_binary, kinds.is_large_binary,
                  kinds.is_fixed_size_binary)  # fmt: skip
        odd = [field for field in schema if any(is_one(field.type) for is_one in others)]
        names = [field.name for field in schema if field not in odd]
        frame = pd.read_parquet(path, columns=names if odd else None)
    except Exception as error:  # of pyarrow, in many classes
        line = (str(error).splitlines() or [""])[0]
        raise UserError(f"{path}: is cut off or not a parquet file ({line})") from None
    for field in schema:
        if field.name in frame and pa.types.is_decimal(field.type):
            frame[field.name] = frame[field.name].astype(float)
        elif field.name in frame and pa.types.is_date(field.type):
            frame[field.name] = pd.to_datetime(frame[field.name], errors="coerce")
    return frame, [f"column {f.name} holds values of type {f.type} and is left out" for f in odd]


def _separator(path: Path, encoding: str) -> str:
    """The one that the header has most of."""
    try:
        with path.open(encoding=encoding) as file:
            header = file.readline()
    except (UnicodeError, LookupError):
        raise refused(path, encoding) from None
    refuse_zeros(path, header, encoding)
    return max(SEPARATORS, key=header.count)


def _checked(path: Path, frame: "pd.DataFrame") -> "pd.DataFrame":
    frame.columns = [
        str(name).strip() or f"Unnamed: {place}" for place, name in enumerate(frame.columns)
    ]
    if not frame.columns.is_unique:
        double = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"{path}: has two columns called '{double}'")
    if not len(frame):
        raise UserError(f"{path}: has a header ({shown(frame)}) and no rows")
    return frame


def no_column(key: str, name: str, where: str | Path, frame: "pd.DataFrame") -> UserError:
    """A column that a key names and the table lacks."""
    close = difflib.get_close_matches(name, list(frame), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"it has {shown(frame)}"
    numbers = [column for column in map(str, frame) if _is_number(column)]
    if 2 * len(numbers) >= len(frame.columns) > 1 and any("." in column for column in numbers):
        hint = f"its first line ({shown(frame)}) holds numbers and no names; a table needs a header"
    if len(frame.columns) == 1 and name in frame.columns[0]:
        hint = f"its header is one column, '{frame.columns[0]}'; set separator=... to the sign "
        hint += "between its names"
    return UserError(f"{key}={name}: {where} has no such column; {hint}")


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _is_text(column: "pd.Series[Any]") -> bool:
    return bool(column.dtype.kind == "O" and column.dtype.name != "category")


def _as_category(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.astype(str).mask(column.isna()).astype("category")


def texts(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """A column as text, whole numbers without a point, and nothing where a value is missing."""
    return as_texts(_plain(column))


def _plain(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Numbers as they are, all else as text."""
    if column.dtype.kind in "iufb":
        return np.asarray(column)
    if column.dtype.name == "category":  # a hole has the code -1
        return np.asarray(np.array([*column.cat.categories, ""], str)[column.cat.codes])
    return np.asarray(column.astype(str).mask(column.isna(), ""), str)


def _coded(column: "pd.Series[Any]") -> tuple[list[str], npt.NDArray[np.int64]]:
    """The texts of a column in order, '' for holes last, and the place of each row's."""
    if column.dtype.name == "category" and "" not in column.cat.categories:
        names = [*map(str, column.cat.categories), ""]
        codes = column.cat.codes.to_numpy().astype(np.int64)
        return names, np.where(codes < 0, len(names) - 1, codes)
    found, codes = np.unique(texts(column), return_inverse=True)
    names = [str(text) for text in found if text != ""]
    hole = len(names)
    moved = np.cumsum(found != "") - 1
    return [*names, ""], np.where(found == "", hole, moved)[codes.reshape(-1)]


def _numbers(path: str, column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column as numbers; names the first row of what is none."""
    import pandas as pd

    if column.dtype.kind in "iufb":
        return column
    if column.dtype.name == "category":  # parsed once for each text, not once for each row
        parsed = pd.to_numeric(pd.Series([*column.cat.categories, None]), errors="coerce")
        numbers = pd.Series(parsed.to_numpy(np.float64)[column.cat.codes])
    else:
        numbers = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(numbers.isna() & column.notna())
    if len(bad):
        raise UserError(
            f"{path}: column {column.name} holds '{column.iloc[bad[0]]}' in row {bad[0]}, which is "
            f"no number; set missing=['{column.iloc[bad[0]]}'] if it is a hole"
        )
    return numbers


def _without_meaning(name: str, column: "pd.Series[Any]") -> str | None:
    """What a column holds from which nothing can be learnt that is meant."""
    if column.isna().all():
        return "has no value in any row"
    if name.startswith("Unnamed: ") and column.dtype.kind in "iu" and (
        len(column) > 1 and (np.diff(np.asarray(column)) > 0).all()
    ):  # fmt: skip
        return "has no name and counts the rows"
    if column.dtype.name == "category" and len(column.cat.categories):
        some = [str(text) for text in column.cat.categories[:1000]]
        if all(_TIME.fullmatch(text) for text in some):
            return "holds times"
    return None


_TIME = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}([./-])\d{1,2}\2\d{2,4}([ ,T]+\d{1,2}:\d{2}.*)?"
    r"|\d{4}([./])\d{1,2}\4\d{1,2}.*|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_COMMA = r"[+-]?\d*,\d+"
_THOUSANDS = r"[+-]?\d{1,3}([,' \u00a0]\d{3})+(\.\d+)?|[+-]?\d{1,3}(\.\d{3}){2,}(,\d+)?"
_MONEY = r"[+-]?[$€£¥] ?[+-]?[\d.,']+|[+-]?[\d.,']+ ?[$€£¥%]"


def nearly_numbers(column: "pd.Series[Any]") -> str | None:
    """What is amiss with a column of texts of which most are numbers: the first that is none, the
    point of them all, signs between thousands, of money or of percent."""
    import pandas as pd

    counts = column.value_counts()  # parsed once for each text, not once for each row
    counts = counts[counts > 0]
    named = pd.Series(counts.index.astype(str))
    plain = pd.to_numeric(named, errors="coerce").notna().to_numpy()
    odd = ~plain
    total, strange = counts.sum(), counts[odd].sum()
    if not strange:
        return None
    for pattern, said in (
        (_THOUSANDS, "write numbers without signs between their thousands"),
        (_COMMA, "set decimal=',' for numbers"),
        (_MONEY, "write numbers without signs of money or percent"),
    ):
        like = named.str.fullmatch(pattern).to_numpy(bool) & odd
        if like.any() and counts[like | plain].sum() > MOSTLY * total:
            found = str(named[like].iloc[0])
            both = pattern == _THOUSANDS and named[like].str.fullmatch(_COMMA).all()
            said += ", or set decimal=',' if it is one and a fraction" if both else ""
            return f"column {column.name} holds '{found}' and the like; {said}"
    numbers = total - strange
    # Texts like 3+ among few numbers that come again and again are the names of classes.
    mixed = numbers >= max(10, 0.1 * total) and plain.sum() > MOSTLY * numbers
    if not (strange < MOSTLY * total or mixed):
        return None
    row = int(np.flatnonzero(column.isin(counts.index[odd]))[0])
    value = column.iloc[row]
    return (
        f"column {column.name} holds '{value}' in row {row}, and "
        f"{'most' if strange < MOSTLY * total else 'many'} others are numbers; set "
        f"missing=['{value}'] if it is a hole"
    )


def refuse_infinite(path: str, name: str, numbers: npt.NDArray[np.float64]) -> None:
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(np.isinf(numbers.astype(np.float32)))
    if len(bad):
        raise UserError(
            f"{path}: column {name} holds {numbers[bad[0]]:g} in row {bad[0]}, beyond what a "
            "network can take"
        )


def _plural(type_: str) -> str:
    return "numbers" if type_ == "number" else "categories"


def fit_columns(train: Examples) -> Fitted:
    """What is known of each column from the training rows alone."""
    fitted: Fitted = []
    for place, column in enumerate(train.reading["raw"]):
        values = train.x[:, place].double().numpy()
        there = ~np.isnan(values)
        if column["type"] == "number":
            mean = float(values[there].mean()) if there.any() else 0.0
            fitted.append({**column, "mean": mean, "missing": bool(not there.all())})
        else:
            seen = np.bincount(values[there].astype(int), minlength=len(column["categories"]))
            kept = [c for c, n in zip(column["categories"], seen, strict=True) if n]
            fitted.append({**column, "categories": kept})
    return fitted


def _as_in_source(source: Fitted, own: Fitted, *, statistics: bool) -> Fitted:
    """The source's columns, with the means of the target where those are its own."""
    means = {} if statistics else {c["name"]: c["mean"] for c in own if "mean" in c}
    return [
        c | ({"mean": means[c["name"]]} if c["name"] in means else {}) for c in source
    ]  # fmt: skip


def _joined(kept: Fitted, own: Fitted) -> Fitted:
    """The shared columns as in the source, then the others of the target."""
    here = {column["name"] for column in own}
    known = {column["name"] for column in kept}
    return [
        *(column for column in kept if column["name"] in here),
        *(column for column in own if column["name"] not in known),
    ]


def apply_columns(part: Examples, fitted: Fitted) -> Examples:
    """The part with the columns that were fitted, by their names; no NaN is left."""
    raw = {c["name"]: (place, c) for place, c in enumerate(part.reading["raw"])}
    names = [name for column in fitted for name in _names(column)]
    places = []
    for column in fitted:
        place, own = raw.get(column["name"], (None, column))
        places.append((place, _moved(column, own)))
    x = np.empty((len(part), len(names)), np.float32)
    given = part.x.numpy()
    for start in range(0, len(part), BLOCK):  # a block of columns becomes one of rows at hand
        rows = slice(start, start + BLOCK)
        x[rows] = _columns_of(given[rows], fitted, places, len(names)).T
    entries = entries_of(fitted)
    return replace(part, x=torch.from_numpy(x), columns=tuple(names), entries=entries)


def _moved(column: Mapping[str, Any], own: Mapping[str, Any]) -> npt.NDArray[np.int64] | None:
    """For each category of a table's own its place among those that were fitted."""
    if column["type"] == "number":
        return None
    position = {text: k for k, text in enumerate(column["categories"])}
    other = len(position)
    return np.array([position.get(text, other) for text in own["categories"]] + [other])


def _columns_of(
    given: npt.NDArray[np.float32], fitted: Fitted, places: Sequence[tuple[int | None, Any]],
    width: int,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Some rows of the raw columns as the columns [width, n] that a network sees."""
    number = len(given)
    x = np.zeros((width, number), np.float32)
    start = 0
    for column, (place, moved) in zip(fitted, places, strict=True):
        values = np.full(number, np.nan, np.float32) if place is None else given[:, place]
        hole = np.isnan(values)
        if moved is None:
            x[start] = np.where(hole, np.float32(column["mean"]), values)
            if column["missing"]:
                x[start + 1] = hole
        else:
            codes = moved[np.where(hole, len(moved) - 1, np.nan_to_num(values)).astype(int)]
            x[start + codes, np.arange(number)] = 1
        start += len(_names(column))
    return x


def entries_of(fitted: Fitted) -> Entries:
    """What the columns that ``apply_columns`` makes stand for."""
    categories, marks, start = [], [], 0
    for column in fitted:
        width = len(_names(column))
        if column["type"] == "category":
            categories.append((start, start + width))
        elif column["missing"]:
            categories.append((start + 1, start + 2))
            marks.append((start, start + 1))
        start += width
    return Entries(tuple(categories), tuple(marks))


def examples_of(where: str, frame: "pd.DataFrame", fitted: Fitted) -> Examples:
    """New rows with the columns that were fitted, whatever their order; refuses a missing one."""
    lacking = [column["name"] for column in fitted if column["name"] not in frame]
    if lacking:
        raise UserError(
            f"{where}: has no column {shown(lacking)}, which the model needs; it has {shown(frame)}"
        )
    x = np.empty((len(frame), len(fitted)), np.float32)
    for place, column in enumerate(fitted):
        given = frame[column["name"]]
        if column["type"] == "number":
            numbers = _numbers(where, given).to_numpy(np.float64)
            refuse_infinite(where, column["name"], numbers)
            x[:, place] = numbers
        else:
            position = {text: k for k, text in enumerate(column["categories"])}
            named, back = np.unique(texts(given), return_inverse=True)
            codes = np.array([position.get(str(text), np.nan) for text in named], np.float32)
            x[:, place] = codes[back.reshape(-1)]
    unknown = torch.full((len(frame),), -1)
    raw = Examples(torch.from_numpy(x), unknown, (), np.zeros(len(frame), np.uint64),
                   reading={"raw": fitted})  # fmt: skip
    return apply_columns(raw, fitted)


def _names(column: Mapping[str, Any]) -> list[str]:
    """What becomes of a column: itself and where its holes are, or one for each category."""
    name = column["name"]
    if column["type"] == "number":
        return [name, f"{name}=?"] if column["missing"] else [name]
    return [f"{name}={text}" for text in [*column["categories"], "?"]]


def _of_numbers(scale: Scale, train: Examples, fitted: Fitted) -> Scale:
    """Of numbers alone: categories and marks of holes stay 0 and 1."""
    if scale.method not in FITTED:
        return scale
    numbers = {c["name"] for c in fitted if c["type"] == "number"}
    kept = np.array([name in numbers for name in train.columns])
    offset, factor = np.where(kept, scale.offset, 0.0), np.where(kept, scale.factor, 1.0)
    return Scale(offset, factor, scale.method)
