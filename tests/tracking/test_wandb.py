"""W&B runs, written offline by the real client and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aetl.cli import main
from tests.tracking.offline import read

TINY = ["pretrain.max_steps=5", "finetune.max_steps=5", "logger.wandb.mode=offline", "trainer=cpu"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


def test_a_run_reaches_wandb_with_all_that_its_folder_holds(tmp_path: Path) -> None:
    assert main([*TINY, "autoencoder=vae", "tags=[mine]", f"output_dir={tmp_path}"]) == 0
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = tmp_path.glob("2*/*/run.json")
    run, record = read(folder), json.loads(file.read_text())
    assert run["run_group"] == record["parents"]["pretrain"]
    assert run["job_type"] == "parameter/finetune"
    assert {"digits", "mine"} <= set(run["tags"])
    assert run["config"]["optimizer"]["lr"] == 1e-3
    assert run["config"]["aetl"]["settings"] == record["settings"]
    assert not any("." in key for key in run["config"])
    assert run["summary"]["evaluate/test/accuracy"] == record["scores"]["accuracy"]
    assert run["summary"]["evaluate/gain/accuracy"] == record["gain"]["accuracy"]
    assert run["summary"]["figures/reconstructions._type"] == "image-file"
    assert any("pretrain/train/kl" in row for row in run["history"])
    assert run["metrics"]["pretrain/*"].step_metric == "pretrain/step"
    assert {"evaluate/test/accuracy", "evaluate/test/nll"} <= run["metrics"].keys()
    assert run["exit"] == 0


def test_a_failed_run_is_marked_failed(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no weights")
    assert main([*TINY, f"checkpoint={broken}", f"output_dir={tmp_path}"]) == 2
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert read(folder)["exit"] == 1


def test_an_interrupted_run_is_marked_as_the_client_marks_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aetl.pipeline.evaluate", stop)
    assert main([*TINY, f"output_dir={tmp_path}"]) == 130
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert read(folder)["exit"] == 255


def test_two_runs_in_one_process_are_two_wandb_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        assert main([*TINY, f"seed={seed}", f"output_dir={tmp_path}"]) == 0
    runs = [read(folder) for folder in (tmp_path / "wandb").glob("offline-run-*")]
    assert sorted(run["config"]["seed"] for run in runs) == [0, 1]


def test_stages_from_the_store_bring_their_curves_along(tmp_path: Path) -> None:
    for _ in range(2):
        assert main([*TINY, "pretrain.max_steps=12", f"output_dir={tmp_path}"]) == 0
    rows = [
        {name for row in read(folder)["history"] for name in row if name.startswith("pretrain/")}
        for folder in (tmp_path / "wandb").glob("offline-run-*")
    ]
    assert rows[0] == rows[1]
    assert "pretrain/validation/loss" in rows[0]
