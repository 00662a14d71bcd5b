"""Text of users and files as it may be shown: on a terminal, on a page, in a table, in a figure.

A name may hold what a terminal obeys (escape sequences), what turns the letters after it around,
or bytes that are no UTF-8. All of it is shown as it would be typed in Python.
"""

from __future__ import annotations

import codecs
import logging
import re

_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for the tabulator and the end of a line
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # directions of writing, ends of lines
    "\ud800-\udfff]"  # bytes of a file's name that are no UTF-8
)

_BYTES = re.compile("[\ud800-\udfff]")

_ASCII = {
    "▲": "^", "△": "(^)", "▼": "v", "▽": "(v)", "≈": "~", "○": "o", "±": "+-", "×": "x",
    "†": "*", "‡": "**", "⚠": "!", "→": "->", "←": "<-", "·": "-", "–": "-", "—": "-",
    "…": "..", "²": "2", "∞": "inf",
}  # fmt: skip
"""Our own symbols for a terminal that has no others."""


def printable(text: str) -> str:
    """``text`` with what is not shown but obeyed in its written form, as in ``\\x1b[2J``."""
    return _UNSHOWN.sub(_written, text)


def in_utf8(text: str) -> str:
    """``text`` as a file can keep it: bytes of a name that are no UTF-8 as they are typed."""
    return _BYTES.sub(_written, text)


def one_line(text: str) -> str:
    """The same on one line."""
    return printable(text).replace("\n", "\\n").replace("\t", " ")


class Shown(logging.Formatter):
    """Lines of a log, in which names are shown as everywhere."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _written(found: re.Match[str]) -> str:
    code = ord(found.group())
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte of a name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What a stream shows in place of a symbol that its encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    shown = (_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing)
    return "".join(shown), error.end


codecs.register_error("aetl", _in_ascii)
"""``errors="aetl"`` of a stream: whatever its encoding, nothing that is printed fails."""
