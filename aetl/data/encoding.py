"""What is told of a file that is not in the encoding that it was read by."""

import codecs
import re
from pathlib import Path

from aetl.types import UserError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files may begin with, and what they are then in."""
LOOKED_AT = 2**20
KNOWN = {
    b"PK\x03\x04": "a zip archive (Excel's files are such)",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "compressed (gzip)",
    b"BZh": "compressed (bzip2)",
    b"\xfd7zXZ": "compressed (xz)",
    b"PAR1": "a parquet file",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"%PDF": "a PDF",
    b"SQLite": "a database (SQLite)",
    b"MATLAB": "a MATLAB file",
    b"\x93NUMPY": "an array of NumPy's",
    b"Rar!": "an archive (rar)",
    b"Obj\x01": "an Avro file",
    b"RIFF": "a recording or a film",
}
"""What files begin with that are of another kind than their names say."""


def other_kind(path: Path) -> str | None:
    """What a file is by its first bytes, where that is well known."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for mark, name in KNOWN.items() if start.startswith(mark)), None)


def refused(path: Path, encoding: str, way: str = "set encoding={}") -> UserError:
    """The line of the first byte that cannot be read, and a likely encoding as the way on."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        return UserError(f"{path}: encoding={encoding} is not known; set encoding=utf-8, ...")
    if (kind := other_kind(path)) is not None:
        return UserError(_told_of_kind(path, kind))
    likely = _likely(path)
    if likely is None:
        return UserError(f"{path}: is no text: it holds bytes of zero, and not as UTF-16 does")
    place = "" if likely.startswith("utf-16") else _place(path, encoding)
    return UserError(f"{path}: is not in {encoding}{place}; {way.format(likely)}")


def _told_of_kind(path: Path, kind: str) -> str:
    return f"{path}: is {kind} and no text; unpack it, or save it as text"


def refuse_zeros(path: Path, text: str, encoding: str, way: str = "set encoding={}") -> None:
    """Text has no zero bytes: UTF-16 that was read as UTF-8 has."""
    if "\0" in text:
        if (kind := other_kind(path)) is not None:
            raise UserError(_told_of_kind(path, kind))
        likely = _likely(path)
        if likely is None or not likely.startswith("utf-16"):
            raise UserError(f"{path}: holds zero bytes, so it is no text")
        raise UserError(
            f"{path}: holds zero bytes, so it is no text in {encoding}; {way.format(likely)} if it "
            "is one"
        )


def _likely(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    for mark, name in MARKS.items():
        if start.startswith(mark):
            return name
    if b"\0" in start:  # of Latin letters every second byte is zero
        even, odd = (start[i::2].count(0) / max(1, len(start[i::2])) for i in (0, 1))
        if max(even, odd) < HALF or min(even, odd) > 0.5 * max(even, odd):
            return None
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        # Bytes that mean nothing in Latin-1, and letters, quotes and the euro on Windows.
        return "cp1252" if _decodes(start, "cp1252") and _C1.search(start) else "latin-1"
    return "utf-8"


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


_C1 = re.compile(rb"[\x80-\x9f]")
HALF = 0.25
"""Text of Latin letters in UTF-16 has nearly as many zeros on one side as it has letters."""


def _place(path: Path, encoding: str) -> str:
    """`` (line 3)``, where lines end as they do in ASCII."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f" (byte {line[error.start]:#04x} in line {number})"
    return ""
