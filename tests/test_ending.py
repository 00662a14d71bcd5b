"""What a user is told at the end of a run."""

from __future__ import annotations

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
