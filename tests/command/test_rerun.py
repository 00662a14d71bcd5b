"""Doing runs and sweeps again from their saved configs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aetl.cli import main
from aetl.files import sealed, write_json
from aetl.multirun.manifest import Manifest

TINY = ["pretrain.max_steps=5", "finetune.max_steps=5", "logger=none", "trainer=cpu"]


def test_a_rerun_gives_identical_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, f"output_dir={tmp_path}"]) == 0
    (run,) = (path.parent for path in tmp_path.glob("2*/*/run.json"))
    assert main(["rerun", str(run), "--check"]) == 0
    assert "identical scores" in capsys.readouterr().out
    again = json.loads(next((tmp_path / "rerun").glob("*/run.json")).read_text())
    assert not any(again["reused"].values())


@pytest.mark.slow
def test_a_rerun_of_changed_scores_is_noticed(tmp_path: Path) -> None:
    assert main([*TINY, f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/run.json")
    record = json.loads(file.read_text())
    record["scores"]["accuracy"] += 1e-9
    write_json(file, sealed(record))
    assert main(["rerun", str(file.parent), "--check"]) == 1


@pytest.mark.slow
def test_a_rerun_says_which_code_is_not_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/run.json")
    record = json.loads(file.read_text())
    now = record["versions"]["sources"]
    record["versions"]["sources"] = "0123456789abcdef"
    write_json(file, sealed(record))
    assert main(["rerun", str(file.parent)]) == 0
    said = capsys.readouterr().err
    assert f"differs: versions.sources: 0123456789abcdef before, {now} now" in said


@pytest.mark.slow
def test_a_rerun_says_that_the_data_is_not_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.random((200, 6), dtype=np.float32), "y": np.arange(200) % 2}
    np.savez(tmp_path / "mine.npz", **arrays)
    data = ["dataset@source=npz", "dataset@target=npz", "target.budget=20"]
    data += [f"{domain}.path={tmp_path}/mine.npz" for domain in ("source", "target")]
    assert main([*TINY, *data, f"output_dir={tmp_path}/out"]) == 0
    (file,) = tmp_path.glob("out/2*/*/run.json")
    assert main(["rerun", str(file.parent)]) == 0
    assert "data of" not in capsys.readouterr().err
    np.savez(tmp_path / "mine.npz", **arrays | {"x": arrays["x"][::-1].copy()})
    assert main(["rerun", str(file.parent)]) == 0
    said = capsys.readouterr().err
    assert "differs: data of the source (npz:mine.npz): its examples are not those" in said
    assert "differs: data of the target (npz:mine.npz)" in said


@pytest.mark.slow
def test_a_sweep_is_done_again_in_a_folder_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    arms = "transfer=feature/linear_probe,parameter/finetune"
    where = [f"output_dir={tmp_path}", f"hydra.sweep.dir={sweep}"]
    assert main(["-m", *TINY, *where, arms]) == 0
    capsys.readouterr()
    assert main(["rerun", str(sweep), "--check"]) == 0
    said = capsys.readouterr()
    assert "identical scores" in said.out
    assert "differs" not in said.err
    (folder,) = (tmp_path / "rerun").iterdir()
    again = Manifest.load(folder)
    assert [(job.state, job.tries) for job in again.jobs] == [("done", 1)] * 2
    records = [json.loads((folder / job.folder / "run.json").read_text()) for job in again.jobs]
    # Computed anew, and still only once for both.
    assert sorted(record["reused"]["pretrain"] for record in records) == [False, True]

    file = sweep / "1" / "run.json"
    record = json.loads(file.read_text())
    record["twin"]["accuracy"] += 1e-9
    write_json(file, sealed(record))
    assert main(["rerun", str(sweep), "--check"]) == 1
    assert "1: twin.accuracy: " in capsys.readouterr().out
