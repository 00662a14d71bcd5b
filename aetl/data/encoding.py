"""What is told of a file that is not in the encoding that it was read by."""

import codecs
from pathlib import Path

from aetl.types import UserError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files may begin with, and what they are then in."""
LOOKED_AT = 2**20


def refused(path: Path, encoding: str, way: str = "set encoding={}") -> UserError:
    """The line of the first byte that cannot be read, and a likely encoding as the way on."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        return UserError(f"{path}: encoding={encoding} is not known; set encoding=utf-8, ...")
    likely = _likely(path)
    place = "" if likely.startswith("utf-16") else _place(path, encoding)
    return UserError(f"{path}: is not in {encoding}{place}; {way.format(likely)}")


def refuse_zeros(path: Path, text: str, encoding: str, way: str = "set encoding={}") -> None:
    """Text has no zero bytes: UTF-16 that was read as UTF-8 has."""
    if "\0" in text:
        likely = _likely(path)
        raise UserError(
            f"{path}: holds zero bytes, so it is no text in {encoding}; "
            f"{way.format(likely if likely.startswith('utf-16') else 'utf-16-le')} if it is one"
        )


def _likely(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    for mark, name in MARKS.items():
        if start.startswith(mark):
            return name
    if b"\0" in start:  # of Latin letters every second byte is zero
        return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _place(path: Path, encoding: str) -> str:
    """`` (line 3)``, where lines end as they do in ASCII."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f" (byte {line[error.start]:#04x} in line {number})"
    return ""
