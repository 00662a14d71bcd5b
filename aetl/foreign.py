"""Files of a folder that may be anybody's: what would keep a reader for ever is refused."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*\w")
"""What an alias of YAML looks like, also within a text."""


class Endless(ValueError):
    """A few lines that stand for more than a memory holds, told in one line."""

    of_user = True


class Unreadable(Exception):
    """A config that is none, told in one line."""

    of_user = True


def refuse_endless(path: Path) -> None:
    """``OSError`` for a pipe, a socket or a device, whose reading may never end."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EOPNOTSUPP, "is a pipe or a device, and no file", str(path))


def yaml_text(file: Path) -> str:
    """The text of a saved config; ``Endless`` where it repeats parts of itself by reference, which
    no config that we save does: ten references to ten references ... fill any memory."""
    refuse_endless(file)
    text = file.read_text(encoding="utf-8")
    refuse_aliases(str(file), text)
    return text


def parsed_yaml(file: Path) -> Any:
    """What a file of somebody's options holds; ``Unreadable`` names the line that is wrong."""
    import yaml

    with told_by_line(file):
        return yaml.safe_load(file.read_text(encoding="utf-8"))


@contextmanager
def told_by_line(file: Path) -> Iterator[None]:
    """``Unreadable`` for what a reader of YAML finds wrong in a file."""
    import yaml

    try:
        yield
    except UnicodeError:
        raise Unreadable(f"{file}: is not UTF-8; save it as that") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "cannot be read"
        raise Unreadable(f"{file}{line}: is no YAML ({what})") from None


def refuse_aliases(name: str, text: str) -> None:
    """``Endless`` for YAML that has a reference to a part of itself."""
    if _ALIAS.search(text) and _has_alias(text):
        raise Endless(f"{name}: repeats parts of itself by *references, as no saved config does")


def _has_alias(text: str) -> bool:
    import yaml

    try:
        return any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
    except yaml.YAMLError:
        return False  # whoever reads it says what is wrong
