"""Places to write to: asked for once, checked before anything is written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class NoPlace(Exception):
    """A folder that cannot be written to, told in one line."""

    of_user = True


def folder_of(variable: str, default: str) -> str:
    """The folder that a variable of the environment names; set to nothing, it names none."""
    return os.path.expanduser(os.environ.get(variable, "").strip() or default)


def writable(path: str, what: str = "output_dir") -> str:
    """``path``, where a folder can be made or is; ``NoPlace`` where not."""
    if not str(path).strip():
        raise NoPlace(f"{what}: expected a folder, and it is empty; leave it out for 'outputs'")
    if str(path).startswith("~"):
        raise NoPlace(f"{what}={path}: ~ is written out here: {os.path.expanduser(path)}")
    at = nearest_folder(path, what)
    if not os.access(at, os.W_OK | os.X_OK) or not _takes_folders(at):
        raise NoPlace(f"{what}={path}: {at} cannot be written to")
    return path


def nearest_folder(path: str | Path, what: str) -> Path:
    """``path``, or the folder above it that is there; ``NoPlace`` where that is a file."""
    asked = Path(path).absolute()
    try:
        at = next(p for p in (asked, *asked.parents) if p.exists() or p.is_symlink())
    except OSError as error:
        raise NoPlace(f"{what}={path}: {error.strerror}") from None
    if not at.exists():
        raise NoPlace(f"{what}={path}: {at} is a link to {os.readlink(at)}, which is not there")
    if not at.is_dir():
        raise NoPlace(f"{what}={path}: {at} is a file")
    return at


def _takes_folders(at: Path) -> bool:
    """Whether a folder can be made there: rights alone do not tell (/proc, no inodes left)."""
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".aetl-", dir=at))
    except OSError:
        return False
    return True
