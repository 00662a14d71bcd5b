"""What a user is told at the end of a run."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from aetl.ending import continues, told


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    continues(True)


@pytest.mark.parametrize(
    "reuse, way", [(True, "continues from its last checkpoint"), (False, "begins anew")]
)
def test_the_way_on_after_an_interruption_is_true(reuse: bool, way: str) -> None:
    continues(reuse)
    assert f"the same command {way}" in told(KeyboardInterrupt()).line
    assert told(KeyboardInterrupt()).exit_code == 130


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "the memory is full"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "the memory is full"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "the memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "the GPU's memory is full"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "the memory is"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EIO, "Input/output error", "/disk/file"), "/disk/file: Input/output error"),
    ],
)
def test_what_a_machine_has_no_more_of_is_told_and_no_class_of_pythons(
    error: Exception, line: str
) -> None:
    found = told(error)
    assert line in found.line
    assert found.exit_code == 2
    assert "Error" not in found.line
