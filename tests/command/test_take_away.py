"""``aetl predict``, ``embed`` and ``best``, as they are typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetl.cli import main
from aetl.files import sealed, write_json
from tests.model.runs import done, images, saved


@pytest.fixture(scope="module")
def of_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    data = images(folder / "data", split=True)
    run = done(
        folder, "dataset@target=image_folder", f"target.path={data}", "target.size=null",
        "target.shift.rotation=0.0", "target.budget=10",
    )  # fmt: skip
    return str(run), data


def test_a_folder_of_new_images_is_predicted_as_csv(of_files: Any, capsys: Any) -> None:
    run, data = of_files
    assert main(["predict", run, str(data / "test")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 24
    assert rows[0]["path"] == "bright/0.png"
    probability = np.array([[row["p_bright"], row["p_dark"]] for row in rows], np.float32)
    assert np.array_equal(probability, saved(Path(run))["probability"])


def test_without_data_the_own_test_set_is_predicted_and_compared(
    of_files: Any, capsys: Any, tmp_path: Path
) -> None:
    run, _ = of_files
    assert main(["predict", run, "-o", str(tmp_path / "own.npz")]) == 0
    assert "identical to its predictions" in capsys.readouterr().err
    with np.load(tmp_path / "own.npz") as found:
        assert np.array_equal(found["probability"], saved(Path(run))["probability"])


def test_predictions_that_differ_from_the_runs_are_told(
    of_files: Any, tmp_path: Path, capsys: Any
) -> None:
    run = str(shutil.copytree(of_files[0], tmp_path / "run"))
    file = Path(run) / "predictions.npz"
    record = json.loads((Path(run) / "run.json").read_text())
    del record["digests"]["predictions.npz"]
    write_json(Path(run) / "run.json", sealed(record))
    arrays = saved(Path(run))
    arrays["probability"][0, 0] += 0.125
    np.savez(file, **arrays)
    assert main(["predict", run]) == 1
    assert "differs from the run's predictions by up to 0.125" in capsys.readouterr().err


def test_a_data_set_of_the_config_is_predicted_by_name(of_files: Any, capsys: Any) -> None:
    run, data = of_files
    keys = [f"path={data}", "shift.invert=true"]
    assert main(["predict", run, "image_folder", *keys]) == 0
    inverted = capsys.readouterr().out
    assert main(["predict", run, "image_folder", keys[0]]) == 0
    plain = capsys.readouterr().out
    assert len(plain.splitlines()) == len(inverted.splitlines()) == 25
    assert plain != inverted


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_features_are_written_as_they_are_asked_for(
    of_files: Any, tmp_path: Path, suffix: str
) -> None:
    run, data = of_files
    file = tmp_path / f"features.{suffix}"
    assert main(["embed", run, str(data / "test"), "-o", str(file), "--layer", "encoder.1"]) == 0
    if suffix == "npz":
        with np.load(file) as found:
            assert found["features"].shape == (24, 16)
    elif suffix == "csv":
        header = file.read_text().splitlines()[0].split(",")
        assert header == ["path", *(f"f{i}" for i in range(16))]
    else:
        assert len(pytest.importorskip("pandas").read_parquet(file)) == 24


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["RUN", "nowhere"], "nowhere: there is no such file or folder, nor such a data set"),
        (["RUN", "digits", "shift"], "shift: expected KEY=VALUE"),
        (["RUN", "digits", "shft.invert=true"], "target.shft.invert: unknown key"),
        (["RUN", ".", "a=1"], "a=1: a file or a folder takes no keys"),
        (["RUN", "-o", "a.xls"], "a.xls: ends in none of"),
        (["RUN", "--device", "quantum"], "device=quantum: cannot be used here"),
        (["nowhere"], "nowhere: not a run's folder"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_a_line(
    of_files: Any, capsys: Any, arguments: list[str], line: str
) -> None:
    assert main(["predict", *(of_files[0] if a == "RUN" else a for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"aetl: {line}")
    assert len(error.splitlines()) == 1


def record(folder: Path, transfer: str, seed: int, held_out: float | None, test: float) -> None:
    """As a run leaves it; only what a comparison reads."""
    names = {"source": "s", "target": "t", "autoencoder": "a", "loss": "l", "budget": 40}
    names |= {"selector": "target_validation", "metric": "accuracy", "settings": transfer}
    selection = None
    if held_out is not None:
        selection = {"metric": "accuracy", "score": held_out, "higher_is_better": True,
                     "labels": 10}  # fmt: skip
    content = names | {
        "version": 1, "status": "done", "seed": seed, "transfer": transfer, "selection": selection,
        "scores": {"accuracy": test}, "twin": {"accuracy": 0.5}, "gain": {"accuracy": test - 0.5},
        "higher_is_better": {"accuracy": True}, "started": "2026",
    }  # fmt: skip
    place = folder / f"{transfer.replace('/', '-')}-{seed}"
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(content))


def test_best_goes_by_held_out_labels_and_not_by_test_scores(tmp_path: Path, capsys: Any) -> None:
    for seed in (0, 1):
        record(tmp_path, "parameter/finetune", seed, 0.8 + seed / 100, test=0.1)
        record(tmp_path, "parameter/lora", seed, 0.7, test=0.99)
        record(tmp_path, "feature/mmd", seed, None, test=1.0)
    assert main(["best", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "t, 40 labels: parameter/finetune\n  source s, autoencoder a (l)\n" in said
    assert "accuracy 0.8050 on 10 held-out labels, mean of 2 seeds; of 2 arms (1 without" in said
    assert f"aetl predict {tmp_path}/parameter-finetune-1 PATH" in said
    assert main(["best", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["transfer"], found["held_out"], found["seed"]) == ("parameter/finetune", 0.805, 1)


def test_best_refuses_where_nothing_was_held_out(tmp_path: Path, capsys: Any) -> None:
    record(tmp_path, "parameter/lora", 0, None, 0.9)
    assert main(["best", str(tmp_path)]) == 2
    assert "selector=target_validation" in capsys.readouterr().err
    record(tmp_path, "parameter/finetune", 0, 0.5, 0.9)
    assert main(["best", str(tmp_path), "--metric", "acuracy"]) == 2
    assert "did you mean 'accuracy'?" in capsys.readouterr().err
