"""Whether the files of an entry are those that were written: each has its digest in the record.

A file is read through once and then known by what its inode says (number, size, times of change),
for a day at most: in this process, and for the other jobs of a sweep by a note in the entry. Every
write through the file system changes that. What it cannot show within that day is a disk that
alters bits by itself; ``aetl store verify`` reads everything again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aetl.files import file_digest, is_altered, read_json, sealed, write_json

RECORD = "entry.json"
_SEEN = ".seen"
_DAY = 86400.0

_known: dict[str, tuple[list[int], str]] = {}
"""By path: what the inode said, and the digest of the content then."""


def files_of(folder: Path) -> dict[str, str]:
    """The digest of each file of an entry, by its path inside."""
    found = {}
    for path in _files(folder):
        stat = _stat(path)
        name = str(path.relative_to(folder))
        found[name] = file_digest(path)
        _known[str(path)] = stat, found[name]
    return found


def is_sealed(record: Any) -> bool:
    """Whether a record is what was written."""
    return isinstance(record, dict) and "check" in record and not is_altered(record)


def fault(folder: Path, *, again: bool = False) -> str | None:
    """What is wrong with an entry, beginning with the file's name; nothing if it can be believed.

    With ``again`` every byte is read, whatever was seen before.
    """
    try:
        record = read_json(folder / RECORD)
    except OSError as error:
        return f"{RECORD}: cannot be read ({error.strerror})"
    except ValueError:
        return f"{RECORD}: is cut off or not JSON"
    if not is_sealed(record):
        old = isinstance(record, dict) and "files" not in record
        return f"{RECORD}: " + ("is of an older aetl, without digests" if old else _NOT_AS_WRITTEN)
    if not {"stage", "digest", "files"} <= record.keys() or not isinstance(record["files"], dict):
        return f"{RECORD}: {_NOT_AS_WRITTEN}"
    if f"{record['stage']}-{record['digest']}" != folder.name:
        return f"{RECORD}: is that of another entry ({record['stage']}-{record['digest']})"
    seen = {} if again else _seen(folder)
    for name, digest in record["files"].items():
        if (wrong := _wrong(folder / name, name, digest, seen, again)) is not None:
            return wrong
    extra = {str(path.relative_to(folder)) for path in _files(folder)} - record["files"].keys()
    if extra:  # it would be taken for a part of the result
        return f"{min(extra)}: was not there when the entry was written"
    _note(folder, record["files"])
    return None


_NOT_AS_WRITTEN = "is not what was written"


def _wrong(
    path: Path, name: str, digest: str, seen: Mapping[str, list[int]], again: bool
) -> str | None:
    try:
        stat = _stat(path)
        known = _known.get(str(path))
        if again or not (known == (stat, digest) or seen.get(name) == stat):
            if file_digest(path) != digest:
                return f"{name}: {_NOT_AS_WRITTEN}"
            _known[str(path)] = stat, digest
    except FileNotFoundError:
        return f"{name}: is missing"
    except OSError as error:
        return f"{name}: cannot be read ({error.strerror})"
    return None


def _files(folder: Path) -> Iterator[Path]:
    """Hidden ones are what a killed process was writing, or notes."""
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(base, name)
            if path.is_file() and not name.startswith(".") and name != RECORD:
                yield path


def _stat(path: Path) -> list[int]:
    found = os.stat(path)
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _seen(folder: Path) -> dict[str, list[int]]:
    try:
        note = read_json(folder / _SEEN)
        fresh = 0 <= time.time() - note["at"] < _DAY
        return dict(note["files"]) if fresh and is_sealed(note) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _note(folder: Path, files: Mapping[str, str]) -> None:
    if _seen(folder).keys() == files.keys():
        return
    with suppress(OSError):  # a store that others own is read again in every process
        stats = {name: _stat(folder / name) for name in files}
        write_json(folder / _SEEN, sealed({"at": time.time(), "files": stats}))
