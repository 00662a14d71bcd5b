"""Tables in text, read by Arrow: types as they are found in all rows, texts as categories."""

import codecs
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aetl.data.encoding import refused
from aetl.types import UserError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t", "|")

HOLES = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""The texts that mean a hole, as pandas has them."""


BLOCK = 2**23
"""Bytes that a thread parses at a time: of Arrow's own 1 MiB it takes half as long again."""


def read_csv(
    path: Path, separator: str, decimal: str, encoding: str, missing: Sequence[str]
) -> "pd.DataFrame":
    """Numbers, truth values, and all else (times, too) as categories in alphabetical order.

    ``UserError`` names the line of a row with more or fewer fields than the header.
    """
    import pandas as pd
    import pyarrow as pa

    if len(separator) != 1 or len(decimal) != 1:
        raise UserError(f"separator={separator!r} decimal={decimal!r}: must be one sign each")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty")
    keys = {"separator": separator, "decimal": decimal, "encoding": _plain(path, encoding)}
    try:
        table = _table(path, {}, [*HOLES, *missing], **keys)
        # What Arrow takes for times, or for truth with holes, are texts as they are written.
        texts = {
            field.name: pa.string()
            for field, column in zip(table.schema, table.columns, strict=True)
            if pa.types.is_temporal(field.type)
            or (pa.types.is_boolean(field.type) and column.null_count)
        }
        if texts:
            table = _table(path, texts, [*HOLES, *missing], **keys)
    except UnicodeError:
        raise refused(path, encoding) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        _refuse_ragged(path, separator, encoding)
        raise UserError(f"{path}: is no table ({(str(error).splitlines() or ['?'])[0]})") from None
    if any(pa.types.is_binary(_values(field.type)) for field in table.schema):
        raise refused(path, encoding)
    if _open_at_end(table):
        _refuse_ragged(path, separator, encoding)
    holes = frozenset((*HOLES, *missing))
    columns = dict(enumerate(_series(column, holes) for column in table.columns))
    frame = pd.DataFrame(columns, copy=False)
    frame.columns = list(table.column_names)
    return frame


def _plain(path: Path, encoding: str) -> str:
    """Arrow's name of what needs no decoding."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise refused(path, encoding) from None
    return "utf8" if name in ("utf-8", "utf-8-sig") else encoding


def _table(
    path: Path, types: Mapping[str, Any], holes: Sequence[str], *,
    separator: str, decimal: str, encoding: str,
) -> Any:  # fmt: skip
    import pyarrow as pa
    from pyarrow import csv as arrow

    keys: dict[str, Any] = {
        "separator": separator, "decimal": decimal, "encoding": encoding,
        "quoted": encoding != "utf8" or _has(path, b'"'),
    }  # fmt: skip
    try:
        return _read_in_blocks(arrow, path, types, holes, BLOCK, **keys)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
    whole = min(path.stat().st_size + 1, 2**31 - 1)  # a row is longer than a block
    return _read_in_blocks(arrow, path, types, holes, whole, **keys)


def _has(path: Path, sign: bytes) -> bool:
    """Whether a sign stands anywhere in a file."""
    with path.open("rb") as file:
        while block := file.read(2**20):
            if sign in block:
                return True
    return False


def _read_in_blocks(
    arrow: Any, path: Path, types: Mapping[str, Any], holes: Sequence[str], block: int, *,
    separator: str, decimal: str, encoding: str, quoted: bool,
) -> Any:  # fmt: skip
    """``quoted``: whether a text may run over lines, for which Arrow looks at every sign."""
    return arrow.read_csv(
        path,
        read_options=arrow.ReadOptions(encoding=encoding, block_size=block),
        parse_options=arrow.ParseOptions(delimiter=separator, newlines_in_values=quoted),
        convert_options=arrow.ConvertOptions(
            column_types=types, null_values=list(holes), strings_can_be_null=True,
            decimal_point=decimal, auto_dict_encode=True, auto_dict_max_cardinality=2**31 - 1,
        ),
    )  # fmt: skip


def _values(type_: Any) -> Any:
    """The type of a column's values, whether they are encoded by a dictionary or not."""
    import pyarrow as pa

    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _series(column: Any, holes: frozenset[str]) -> Any:
    """A column as pandas has it; one of holes alone as numbers. Texts without blanks around them,
    which nobody means."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_string(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return column.to_pandas()
    array = column.unify_dictionaries().combine_chunks()
    names = [text.strip() for text in array.dictionary.to_pylist()]
    kept = sorted(set(names) - holes)
    position = {text: place for place, text in enumerate(kept)}
    rank = np.array([position.get(text, -1) for text in names] + [-1])  # the last is for holes
    codes = rank[array.indices.fill_null(len(names)).to_numpy()]
    return pd.Categorical.from_codes(codes, np.array(kept, object))


def _open_at_end(table: Any) -> bool:
    """Whether a text of the last row runs over lines, as one does whose quote is never closed."""
    last = table.slice(max(len(table) - 1, 0)).to_pylist()
    return any(isinstance(value, str) and "\n" in value for row in last for value in row.values())


def _refuse_ragged(path: Path, separator: str, encoding: str) -> None:
    """The first line that has not as many fields as the header, or a quote that stays open."""
    width, before = 0, 0
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            for row in reader:
                if row and not width:
                    width = len(row)
                if row and len(row) != width:
                    raise UserError(
                        f"{path}: line {reader.line_num} has {len(row)} fields, and the header has "
                        f"{width}"
                    )
                before = reader.line_num
    except UnicodeError:
        raise refused(path, encoding) from None
    except csv.Error as error:
        raise UserError(f"{path}: line {before + 1} opens a quote that does not end ({error})"
                        ) from None  # fmt: skip
