"""W&B runs, written offline by the real client and read back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb

from aetl.cli import main
from aetl.data.base import Examples
from aetl.tracking.verdicts import log_verdicts, of_one_type
from aetl.tracking.wandb import columns_of
from tests.tracking.offline import read

TINY = [
    "pretrain.max_steps=5", "finetune.max_steps=5", "logger.wandb.mode=offline", "trainer=cpu",
    "source.size=160", "target.size=160", "target.budget=40", "score=none",
]  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.usefixtures("pages")
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


@pytest.mark.slow
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


def test_the_clients_own_viewer_finds_the_runs_in_one_folder(tmp_path: Path) -> None:
    assert main([*TINY, f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/run.json")
    viewer = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json"]
    done = subprocess.run(
        [*viewer, str(tmp_path / "wandb")], capture_output=True, text=True, check=True, timeout=60
    )
    score = json.loads(file.read_text())["scores"]["accuracy"]
    assert str(json.loads(file.with_name("wandb.json").read_text())["id"]) in done.stdout
    assert f'"evaluate/test/accuracy":{score!r}' in done.stdout.replace(" ", "")


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize(
    "loggers, left",
    [
        pytest.param("none", set(), marks=pytest.mark.slow),
        pytest.param("csv", set(), marks=pytest.mark.slow),
        pytest.param("tensorboard", {"tensorboard"}, marks=pytest.mark.slow),
        ("[wandb,tensorboard]", {"tensorboard", "wandb.json"}),
    ],
)
def test_loggers_are_chosen_alone_or_together(loggers: str, left: set[str], tmp_path: Path) -> None:
    overrides = [o for o in TINY if not o.startswith("logger.")]
    assert main([*overrides, f"logger={loggers}", f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/metrics.csv")  # in any case
    names = {path.name for path in file.parent.iterdir()}
    assert names & {"tensorboard", "wandb.json"} == left
    if "tensorboard" in left:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        seen = EventAccumulator(str(file.parent / "tensorboard")).Reload()
        (score,) = seen.Scalars("evaluate/test/accuracy")
        record = json.loads((file.parent / "run.json").read_text())
        assert score.value == pytest.approx(record["scores"]["accuracy"], rel=1e-6)
        assert "figures/confusion_matrix" in seen.Tags()["images"]


def test_a_table_of_vectors_has_no_images_and_one_of_numbers_no_classes(tmp_path: Path) -> None:
    y = np.array([0.5, 1.5, 2.5], dtype=np.float32)
    np.savez(tmp_path / "p.npz", y=y, prediction=y + 1, twin_prediction=y - 1)
    x = torch.zeros(3, 4)
    test = Examples(x, torch.from_numpy(y), (), np.zeros(3, dtype=np.uint64))
    assert columns_of(tmp_path / "p.npz", test, 2) == {
        "truth": [0.5, 1.5], "prediction": [1.5, 2.5], "twin": [-0.5, 0.5],
    }  # fmt: skip


def test_a_table_of_images_names_classes_and_shows_the_surest_probability(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "p.npz",
        y=np.array([1, 0]), prediction=np.array([1, 1]), twin_prediction=np.array([0, 0]),
        probability=np.array([[0.25, 0.75], [0.375, 0.625]], dtype=np.float32),
    )  # fmt: skip
    x = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    test = Examples(x, torch.tensor([1, 0]), ("cat", "dog"), np.zeros(2, dtype=np.uint64))
    columns = columns_of(tmp_path / "p.npz", test, 32)
    images = columns.pop("image")
    assert [np.asarray(image).tolist() for image in images] == x.permute(0, 2, 3, 1).tolist()
    assert columns == {
        "truth": ["dog", "cat"], "prediction": ["dog", "dog"], "twin": ["cat", "cat"],
        "confidence": [0.75, 0.625],
    }  # fmt: skip


@pytest.mark.slow
def test_an_offline_run_asks_nobody_outside(tmp_path: Path) -> None:
    """All that would leave this machine goes through a proxy, which waits for a call in vain."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.1)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        ours = ("WANDB_MODE", "WANDB_ERROR_REPORTING")
        environment = {k: v for k, v in os.environ.items() if k not in ours}
        environment |= dict.fromkeys(names, address)
        run = [*TINY, f"output_dir={tmp_path}"]
        subprocess.run([sys.executable, "-m", "aetl.cli", *run], env=environment, check=True)
        with pytest.raises(TimeoutError):
            proxy.accept()


@pytest.mark.slow
def test_the_jobs_of_a_sweep_leave_no_pictures_in_the_temporary_folder(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The client tidies up at the end of the interpreter, to which no job's process comes."""
    short = Path(tempfile.mkdtemp())  # sockets lie below it, whose paths have 107 bytes
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    done = subprocess.run(
        [sys.executable, "-c", "from aetl.cli import main; raise SystemExit(main())", "-m", *TINY,
         "seed=0,1", "hydra.launcher.jobs=1", f"output_dir={tmp_path / 'out'}"],
        env=os.environ | {"TMPDIR": str(short)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "wandb").glob("offline-run-*"))) == 3  # and the verdicts
    assert [path.name for path in short.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_sweeps_verdicts_are_a_run_beside_those_of_its_jobs(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    arms = "transfer=parameter/finetune,feature/knn"
    assert main(["-m", *TINY, arms, f"output_dir={tmp_path}", f"hydra.sweep.dir={sweep}",
                 "hydra.launcher.jobs=1"]) == 0  # fmt: skip
    runs = [read(folder) for folder in (tmp_path / "wandb").glob("offline-run-*")]
    (verdicts,) = (run for run in runs if run["job_type"] == "verdicts")
    assert len(runs) == 3
    assert verdicts["config"]["verdicts_of"] == "sweep"
    assert "aetl" not in verdicts["config"]
    assert verdicts["summary"]["verdicts/unknown"] == 2, "one seed says nothing"
    told = {key: value for key, value in verdicts["summary"].items() if key.startswith("verdict/")}
    assert told == {"verdict/feature/knn, 40 labels": "? unknown",
                    "verdict/parameter/finetune, 40 labels": "? unknown"}  # fmt: skip
    assert verdicts["summary"]["table._type"] == "table-file"
    assert verdicts["summary"]["report._type"] == "html-file"
    assert verdicts["exit"] == 0


def test_a_service_that_fails_costs_a_sweep_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "wandb.json").write_text('{"project": "p", "files": "/a/b/c"}')

    def fails(**_: object) -> None:
        raise wandb.Error("no space")

    monkeypatch.setattr(wandb, "init", fails)
    line = {"name": "a", "outcome": "positive", "verdict": "▲ positive"}
    log_verdicts(tmp_path, [tmp_path / "0"], [line], tmp_path / "report.html")
    assert "W&B: no verdicts of this sweep: no space" in caplog.text
    log_verdicts(tmp_path, [tmp_path / "1"], [line], tmp_path / "report.html")  # no run of W&B's


def test_a_column_of_numbers_and_words_is_one_of_words() -> None:
    """As labels saved are: a number, "more than 1000", or nothing."""
    columns = [
        of_one_type(c) for c in ([65.1, "> 1000", None], [1, None, 2.5], [True, None, False])
    ]
    assert columns == [["65.1", "> 1000", None], [1, None, 2.5], [True, None, False]]
    table = wandb.Table(columns=list("abc"), data=list(zip(*columns, strict=True)))
    assert table.get_column("a") == columns[0]
