"""Sweeps of stub jobs in this process: the launcher is the real one, the jobs do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aetl.cli import main
from tests.multirun.stub import TASK

Sweep = Callable[..., int]


@pytest.fixture(autouse=True)
def trusted(own_outputs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks and the callbacks of saved sweeps are not aetl's own."""
    monkeypatch.setenv("AETL_TRUST", "tests")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """``aetl -m`` with stub jobs, in ``tmp_path/sweep``; its exit code."""
    monkeypatch.setattr("aetl.multirun.plugin.TASK", TASK)

    def run(*overrides: str, folder: Path = tmp_path / "sweep") -> int:
        return main(["-m", "logger=none", f"hydra.sweep.dir={folder}", *overrides])

    return run
