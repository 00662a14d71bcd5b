"""The store: computed once, never stale, never half done."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from aetl.store.store import Store, digest_of


def slow_job(folder: Path, name: str, seconds: float) -> None:
    """A job that wants the stage, and notes when it was the one that computed it."""

    def compute(path: Path) -> None:
        (folder / f"{name}.started").touch()
        time.sleep(seconds)
        (path / "result").write_text(name)

    entry = Store(dir=str(folder), reuse=True).stage("s", "d", {}, folder, compute)
    (folder / f"{name}.read").write_text((entry.path / "result").read_text())


def start(folder: Path, name: str, seconds: float) -> Any:
    process = multiprocessing.get_context("fork").Process(
        target=slow_job, args=(folder, name, seconds)
    )
    process.start()
    return process


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_two_jobs_at_once_compute_a_stage_once(tmp_path: Path) -> None:
    jobs = [start(tmp_path, name, 0.7) for name in ("a", "b")]
    for job in jobs:
        job.join(30)
        assert job.exitcode == 0
    (first,) = tmp_path.glob("*.started")
    assert [f.read_text() for f in tmp_path.glob("*.read")] == [first.stem, first.stem]


def test_a_killed_holder_lets_go_and_the_next_job_finishes(tmp_path: Path) -> None:
    victim = start(tmp_path, "victim", 60)
    wait_for(tmp_path / "victim.started")
    heir = start(tmp_path, "heir", 0)
    time.sleep(0.2)
    assert not (tmp_path / "heir.started").exists()  # it waits
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(30)
    heir.join(30)
    assert heir.exitcode == 0
    assert (tmp_path / "heir.read").read_text() == "heir"


class Count:
    """A computation that counts its calls and notes what it finds."""

    def __init__(self, *, fails: int = 0) -> None:
        self.calls, self.fails = 0, fails
        self.found: list[list[str]] = []

    def __call__(self, path: Path) -> None:
        self.calls += 1
        self.found.append(sorted(f.name for f in path.iterdir()))
        (path / "last.ckpt").write_text(f"{self.calls}")
        if self.calls <= self.fails:
            raise RuntimeError("cut off")


def test_a_finished_entry_is_read_and_not_computed_again(tmp_path: Path) -> None:
    store, count = Store(dir=str(tmp_path), reuse=True), Count()
    first = store.stage("pretrain", "abc", {"seed": 1}, tmp_path / "run", count)
    again = store.stage("pretrain", "abc", {"seed": 1}, tmp_path / "other", count)
    assert count.calls == 1
    assert (first.reused, again.reused) == (False, True)
    assert first.path == again.path == tmp_path / "pretrain-abc"
    assert first.seconds == again.seconds >= 0
    saved = json.loads((first.path / "entry.json").read_text())
    assert saved["key"] == {"seed": 1}
    assert store.stage("pretrain", "abd", {"seed": 2}, tmp_path, count).path != first.path
    assert count.calls == 2


def test_a_failure_leaves_no_entry_and_the_next_call_goes_on_in_its_folder(tmp_path: Path) -> None:
    store, count = Store(dir=str(tmp_path), reuse=True), Count(fails=1)
    with pytest.raises(RuntimeError, match="cut off"):
        store.stage("pretrain", "abc", {}, tmp_path, count)
    assert not (tmp_path / "pretrain-abc" / "entry.json").exists()
    entry = store.stage("pretrain", "abc", {}, tmp_path, count)
    assert not entry.reused
    assert count.found == [[], ["last.ckpt"]]
    assert store.stage("pretrain", "abc", {}, tmp_path, count).reused


def test_without_reuse_all_is_computed_into_the_runs_own_folder(tmp_path: Path) -> None:
    count = Count()
    kept = Store(dir=str(tmp_path / "store"), reuse=True).stage("s", "d", {}, tmp_path, count)
    fresh = Store(dir=str(tmp_path / "store"), reuse=False)
    entry = fresh.stage("s", "d", {}, tmp_path / "run", count)
    assert count.calls == 2
    assert not entry.reused
    assert entry.path == tmp_path / "run" / "stages" / "s-d"
    assert (kept.path / "last.ckpt").read_text() == "1"


# What a digest covers


STAGE = "aetl.stage.pretrain"


def test_digest_follows_the_key_and_not_its_order() -> None:
    key = {"seed": 0, "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1}}
    before = digest_of(key, STAGE)
    assert before == digest_of(dict(reversed(key.items())), STAGE)
    adam = {"_target_": "torch.optim.Adam", "lr": 0.2}
    others = [{**key, "seed": 1}, {**key, "optimizer": adam}, {"seed": 0}]
    assert len({before, *(digest_of(other, STAGE) for other in others)}) == 4


def test_digest_follows_the_version_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of({}, STAGE)
    monkeypatch.setattr(torch, "__version__", "0.0.1")
    assert digest_of({}, STAGE) != before
