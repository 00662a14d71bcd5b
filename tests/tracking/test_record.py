"""The record of a run: one run a folder, always readable, and right about how it ended."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aetl.comparison.run import ALIVE
from aetl.files import read_json, write_json
from aetl.store.store import Entry
from aetl.tracking.record import Job, Record, read_record
from aetl.types import UserError


def job(folder: Path) -> Job:
    cfg = OmegaConf.create({"seed": 3, "twice": "${seed}", "hydra": {"job": 1}})
    return Job(cfg, folder, {"task": "classification"}, ["seed=3"], ["aetl", "seed=3"])


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    Record(job(tmp_path / "run"))
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(UserError, match="belongs to another run already"):
        Record(job(tmp_path / "run"))
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_the_record_says_what_was_asked_and_where_it_runs(tmp_path: Path) -> None:
    _running = Record(job(tmp_path))
    record = read_record(tmp_path)
    assert record["status"] == "running"
    assert record["command"] == ["aetl", "seed=3"]
    assert record["overrides"] == ["seed=3"]
    assert record["choices"] == {"task": "classification"}
    assert record["versions"]["torch"]
    assert record["hardware"]["cores"] >= 1
    assert (tmp_path / "config.yaml").read_text() == "seed: 3\ntwice: 3\n"


@pytest.mark.parametrize(
    "error, status, line",
    [
        (None, "done", None),
        (ValueError("first\nsecond"), "failed", "ValueError: first"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt: "),
        (SystemExit(1), "interrupted", "SystemExit: 1"),
    ],
)
def test_the_end_is_recorded(
    error: BaseException | None, status: str, line: str | None, tmp_path: Path
) -> None:
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, Record(job(tmp_path)) as record:
        record.update(scores={"accuracy": 0.5}, seconds={"pretrain": 1.0})
        record.update(seconds={"transfer": 2.0})
        if error is not None:
            raise error
    saved = read_record(tmp_path)
    assert (saved["status"], saved["error"]) == (status, line)
    assert saved["scores"] == {"accuracy": 0.5}
    assert saved["seconds"].keys() == {"pretrain", "transfer", "total"}
    assert saved["ended"] >= saved["started"]


def test_a_stage_is_noted_with_its_digest_and_its_weights(tmp_path: Path) -> None:
    record = Record(job(tmp_path / "run"))
    for stage, file in (
        ("pretrain", "autoencoder.pt"),
        ("transfer", "network.safetensors"),
        ("twin", ""),
    ):
        folder = tmp_path / f"{stage}-digest"
        folder.mkdir()
        write_json(folder / "entry.json", {"seconds": 1.5})
        (folder / (file or "network.safetensors")).write_text(stage)
        record.stage_done(stage, Entry(folder, f"digest of {stage}", reused=stage == "twin"))
    saved = read_record(tmp_path / "run")
    assert saved["parents"]["twin"] == "digest of twin"
    assert saved["reused"] == {"pretrain": False, "transfer": False, "twin": True}
    assert saved["seconds"] == {"pretrain": 1.5, "transfer": 1.5, "twin": 1.5}
    kept = {f.name: f.read_text() for f in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"autoencoder.pt": "pretrain", "network.safetensors": "transfer"}


def test_a_rank_of_somebody_elses_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETL_RANK_OF", str(tmp_path))
    with Record(job(tmp_path)) as record:
        record.update(scores={})
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(job(tmp_path))
    before = read_json(tmp_path / "run.json")
    monkeypatch.setattr(Path, "write_text", _half)
    with pytest.raises(OSError, match="No space"):
        record.update(scores={"accuracy": 1.0})
    monkeypatch.undo()
    assert read_json(tmp_path / "run.json") == before
    assert {f.name for f in tmp_path.iterdir()} <= {"run.json", "config.yaml", "git.diff", ALIVE}


def _half(self: Path, text: str, encoding: str | None = None) -> int:
    self.write_bytes(text.encode()[: len(text) // 2])
    raise OSError(28, "No space left on device")


def test_what_is_no_run_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run's folder \(it has no run\.json\)"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_record(tmp_path)


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_a_folder_that_is_gone_while_the_run_works_is_told_and_not_made_again(
    how: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="run: was moved or removed"), Record(job(folder)):
        folder.rename(tmp_path / "other") if how == "moved" else shutil.rmtree(folder)
    assert not folder.exists()
    if how == "moved":
        assert read_record(tmp_path / "other")["status"] == "killed"
