"""What a job of a multirun costs beyond its own work, beside the basic launcher and joblib's."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.multirun.test_recovery import start
from tests.tiny import SMALL

JOBS, AT_ONCE = 24, 2


def seconds_of(tmp_path: Path, launcher: str, *more: str) -> tuple[float, float]:
    """The time of a sweep from the shell, and the sum of its jobs' own times."""
    folder = tmp_path / launcher
    begin = time.monotonic()
    where = (f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/{launcher}-out")
    process = start(
        "-m", *SMALL, f"seed=range({JOBS})", f"hydra/launcher={launcher}", *more, *where
    )
    _, errors = process.communicate(timeout=560)
    total = time.monotonic() - begin
    assert process.returncode == 0, errors
    own = [json.loads(p.read_text())["seconds"]["total"] for p in folder.glob("*/run.json")]
    assert len(own) == JOBS
    return total, sum(own)


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_a_job_costs_less_than_a_second_beyond_its_own_work(tmp_path: Path) -> None:
    total, own = seconds_of(tmp_path, "process", f"hydra.launcher.jobs={AT_ONCE}")
    ours = (total - own / AT_ONCE) / JOBS
    print(f"\nprocess: {JOBS} jobs in {total:.1f} s, {ours:.2f} s a job beyond its own work")
    for launcher, more, at_once in (
        ("basic", (), 1),
        ("joblib", (f"hydra.launcher.n_jobs={AT_ONCE}",), AT_ONCE),
    ):
        total, own = seconds_of(tmp_path, launcher, *more)
        theirs = (total - own / at_once) / JOBS
        print(f"{launcher}: {JOBS} jobs in {total:.1f} s, {theirs:.2f} s a job beyond its own work")
    assert ours < 1.0
