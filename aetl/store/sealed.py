"""Files of a training that goes on later, each with its digest beside it.

What was damaged, or belongs to another entry, is not believed: it is set aside and told, and the
work is done again. Nothing in such a file can be run: it holds tensors, numbers, text, and lists
and dictionaries of them (``torch.load`` with ``weights_only``).
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar

from aetl.files import atomic, write_text
from aetl.types import UserError

log = logging.getLogger(__name__)

_MIB = 1 << 20
_DTYPES = tuple({type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OVmM"})
_NUMPY: list[Any] = [np.ndarray, np.dtype, _reconstruct, scalar, *_DTYPES]
"""What NumPy's numbers and arrays are written by: others' callbacks keep such. Of objects none."""


def plain() -> AbstractContextManager[None]:
    """Inside, ``weights_only`` lets through arrays and numbers of NumPy's, too."""
    context: AbstractContextManager[None] = torch.serialization.safe_globals(_NUMPY)
    return context


def refuse_code(states: Mapping[str, Any]) -> None:
    """``UserError`` for a callback's state that could not be read again without running code."""
    for name, state in states.items():
        buffer = io.BytesIO()
        try:
            torch.save(state, buffer)
            buffer.seek(0)
            with plain():
                torch.load(buffer, weights_only=True)
        except Exception as error:
            reason = " ".join(str(error).split()).partition(". ")[2] or str(error)
            raise UserError(
                f"callback {name.partition('{')[0]}: its state_dict() cannot be kept; let it hold "
                f"tensors, numbers, text, lists and dictionaries alone ({reason[:120]})"
            ) from None


def save(path: Path, write: Callable[[Path], None]) -> None:
    """A file by ``write``, there whole or not at all, with its digest.

    The digest is there before the file is. Until then the one before counts as well, so that
    no moment of a power cut makes an intact file look damaged.
    """
    with atomic(path) as temporary:
        write(temporary)
        known = _known(path)
        write_text(_beside(path), "\n".join([*known[-1:], _digest(temporary, path)]) + "\n")


def save_value(path: Path, value: Any) -> None:
    """``save`` a value; by way of memory, so that a full disk is an ``OSError`` like any other."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    save(path, lambda temporary: _write(temporary, buffer.getbuffer()))


def _write(path: Path, content: memoryview) -> None:
    path.write_bytes(content)


def load(path: Path) -> Any:
    """What is in the file; ``None`` where there is none that can be believed."""
    if not path.exists():
        return None
    try:
        if _digest(path, path) not in _known(path):
            raise ValueError("is not what was written")
        with plain():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        aside = set_aside(path)
        log.warning("%s: %s; set aside as %s, begun anew", path, _reason(error), aside.name)
        return None


def _reason(error: Exception) -> str:
    told = isinstance(error, ValueError)
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return str(error) if told else "is not what torch wrote"


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename what is damaged to the first of ``NAME.damaged-1``, ``-2``, ... that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    with suppress(OSError):
        _beside(path).unlink()
    return aside


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.digest")


def _known(path: Path) -> list[str]:
    try:
        return _beside(path).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _digest(content: Path, path: Path) -> str:
    """Of a file's bytes and of where it belongs, so that another entry's is told from it."""
    digest = hashlib.blake2b(f"{path.parent.name}/{path.name}".encode(), digest_size=16)
    with content.open("rb") as file:
        while block := file.read(_MIB):
            digest.update(block)
    return digest.hexdigest()
