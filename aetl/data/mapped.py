"""Arrays that may be larger than the memory: beyond a size they lie in a file that is mapped.

The operating system keeps as much of such a file in memory as there is place for. The file has no
name, so it is gone when nobody uses the array any more.
"""

import mmap
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

LARGE = 2**28
"""Bytes; smaller arrays are in memory."""
BLOCK = 2**24
"""Bytes that are moved at once."""

_folder: ContextVar[Path | None] = ContextVar("folder of large arrays", default=None)


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """Large arrays lie in this folder and not in that of temporary files, often memory itself."""
    token = _folder.set(folder if folder.is_dir() else None)
    try:
        yield
    finally:
        _folder.reset(token)


def room() -> int:
    """How many bytes a large array may have."""
    return shutil.disk_usage(_folder.get() or tempfile.gettempdir()).free


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array to be written."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=_folder.get()) as file:
        file.truncate(size)
        pages = mmap.mmap(file.fileno(), size)
    return np.frombuffer(pages, dtype).reshape(shape)


def gather(x: Tensor, rows: Int[Tensor, " n"]) -> Tensor:
    """``x[rows]``, a block of them at a time."""
    size = x.element_size() * prod(x.shape[1:])
    if size * len(rows) < LARGE or x.device.type != "cpu":
        return x[rows]
    found = torch.from_numpy(empty((len(rows), *x.shape[1:]), x.numpy().dtype))
    step = max(1, BLOCK // size)
    for start in range(0, len(rows), step):
        found[start : start + step] = x[rows[start : start + step]]
    return found


def blocks(x: Tensor) -> Iterator[Tensor]:
    """The rows of ``x`` in parts that are small enough to be worked on."""
    step = max(1, BLOCK // max(1, x.element_size() * prod(x.shape[1:])))
    for start in range(0, len(x), step):
        yield x[start : start + step]
