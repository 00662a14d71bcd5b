"""A model that is read from a run's folder gives the run's own numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aetl.files import write_json
from aetl.model.export import export
from aetl.model.model import Model
from aetl.stage.domains import load_domains
from aetl.store.store import Store
from aetl.types import UserError
from tests.model.runs import done, images, saved, vectors

FAMILIES = {
    "finetune": ("transfer=parameter/finetune",),
    "lora": ("transfer=parameter/lora",),
    "soup": ("transfer=parameter/model_soup",),
    "probe": ("transfer=feature/linear_probe",),
    "neighbours": ("transfer=feature/knn",),
    "raw": ("transfer=control/raw_features",),
    "aligned": ("transfer=feature/tca",),
    "vae": ("autoencoder=vae", "backbone=conv", "backbone.channels=[4,6]", "backbone.norm=batch"),
    "float64": ("trainer.precision=64-true",),
    "regression": ("task=regression", "metric=r2"),
    "regression probe": ("task=regression", "metric=r2", "transfer=feature/svm"),
    "anomaly": ("task=anomaly", "target.budget=8", "transfer=feature/frozen"),
    "anomaly by the decoder": ("task=anomaly", "target.budget=8"),
    "clustering": ("task=clustering", "transfer=feature/dec"),
    "reconstruction": ("task=reconstruction",),
    "imputation": ("task=imputation",),
    "density": (
        "task=density",
        "autoencoder=vae",
        "target.binarise=fixed",
        "source.binarise=fixed",
    ),
    "retrieval": ("task=retrieval", "transfer=feature/frozen"),
}

EVERYDAY = ("finetune", "probe", "vae", "regression", "anomaly by the decoder", "clustering")
"""The other tasks predict the same bits in ``tests/task/test_whole.py``, too, the other arms in
``tests/conformance/test_transfers.py``."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose runs share a store, so that each pretraining is done once."""
    return tmp_path_factory.mktemp("runs")


def inputs_of(run: Path) -> Any:
    """The test examples of the run, loaded without its store."""
    cfg = Model.load(run).cfg
    return load_domains(cfg, Store(dir=str(run / "own"), reuse=True), run).target.test


def taken_away(run: Path, to: Path) -> Path:
    """A copy elsewhere, without anything that lies beside it."""
    return Path(shutil.copytree(run, to))


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=() if f in EVERYDAY else pytest.mark.slow) for f in FAMILIES],
)
def test_predictions_of_the_own_test_set_are_the_runs_to_the_bit(
    family: str, world: Path, tmp_path: Path
) -> None:
    run = done(world, *FAMILIES[family], name=family)
    model = Model.load(taken_away(run, tmp_path / "moved"))
    found, expected = model.predict(inputs_of(tmp_path / "moved")), saved(run)
    assert np.array_equal(found.value, expected["prediction"])
    if "probability" in expected:
        assert found.probability is not None
        assert np.array_equal(found.probability, expected["probability"])
    else:
        assert found.probability is None


@pytest.mark.parametrize(
    "transfer",
    ["parameter/finetune", pytest.param("feature/linear_probe", marks=pytest.mark.slow)],
)
def test_several_labels_are_predicted_to_the_bit(transfer: str, tmp_path: Path) -> None:
    file = vectors(tmp_path / "labels.npz", y=lambda x: (x[:, :3] > 0).astype(int))
    both = [f"dataset@{d}=npz" for d in ("source", "target")]
    paths = [f"{d}.path={file}" for d in ("source", "target")]
    run = done(
        tmp_path, *both, *paths, "task=multilabel", "metric=mean_average_precision",
        f"transfer={transfer}", "target.shift.rotation=0.0", "source.size=null", "target.size=null",
    )  # fmt: skip
    found = Model.load(run).predict(inputs_of(run))
    assert np.array_equal(found.value, saved(run)["prediction"])
    assert np.array_equal(found.probability, saved(run)["probability"])
    assert list(found.columns) == ["row", "0", "1", "2", "p_0", "p_1", "p_2"]


@pytest.fixture(scope="module")
def of_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on image files that are brought to one size, and then to the source's; its data."""
    folder = tmp_path_factory.mktemp("files")
    data = images(folder / "data", split=True)
    run = done(
        folder, "dataset@target=image_folder", f"target.path={data}", "target.size=null",
        "target.shift.rotation=0.0", "target.budget=10",
    )  # fmt: skip
    return run, data


def test_raw_files_of_the_test_set_are_predicted_to_the_bit(of_files: Any) -> None:
    """Decoded, brought to the target's size and then to the source's, as in the run."""
    run, data = of_files
    found, expected = Model.load(run).predict(data / "test"), saved(run)
    assert np.array_equal(found.value, expected["prediction"])
    assert np.array_equal(found.probability, expected["probability"])
    names = sorted(f"{label}/{i}.png" for label in ("dark", "bright") for i in range(12))
    assert found.columns["path"].tolist() == names
    assert set(found.columns["prediction"]) <= {"dark", "bright"}


def test_one_file_some_files_and_an_array_are_taken(of_files: Any) -> None:
    run, data = of_files
    model = Model.load(run)
    files = sorted((data / "test" / "dark").iterdir())
    whole = model.predict(data / "test" / "dark")
    assert len(model.predict(files[0])) == 1
    several = model.predict(files)
    assert np.array_equal(several.value, whole.value)
    assert several.columns["path"].tolist() == [str(file) for file in files]
    array = model.predict(np.zeros((3, 20, 20), np.uint8))
    assert array.columns["row"].tolist() == [0, 1, 2]
    floats = model.predict(torch.zeros(3, 1, 20, 20))
    assert np.array_equal(floats.probability, array.probability)


def test_features_reconstructions_and_scores_are_the_networks(of_files: Any) -> None:
    model = Model.load(of_files[0])
    x = model.spec.preprocessing(torch.zeros(2, 1, 20, 20, dtype=torch.uint8)).inputs()
    zeros = np.zeros((2, 20, 20), np.uint8)
    with torch.no_grad():
        latent = model.autoencoder.features(x).numpy()
        hidden = model.autoencoder.features(x, "encoder.1").numpy()
        reconstruction = model.autoencoder.reconstruct(x).numpy()
    np.testing.assert_array_equal(model.encode(zeros).value, latent)
    np.testing.assert_array_equal(model.encode(zeros, layer="encoder.1").value, hidden)
    np.testing.assert_array_equal(model.reconstruct(zeros), reconstruction)
    error = ((reconstruction - x.numpy()) ** 2).reshape(2, -1).mean(1)
    np.testing.assert_allclose(model.score(zeros).columns["score"], error, rtol=1e-6)
    assert {"encoder.1", "latent"} <= set(model.layers())
    with pytest.raises(UserError, match=r"no such layer .*latent"):
        model.encode(zeros, layer="nothing")


@pytest.mark.parametrize(
    "data, line",
    [
        ("nowhere", "nowhere: there is no such file or folder"),
        (np.zeros((2, 5)), r"data is of shape \(2, 5\); this model takes images of shape"),
        ({"z": np.zeros(3)}, "data: has no array x or x_test; it holds z"),
        (np.zeros((2, 20, 20), np.int16) - 1, "images of type int16 must lie in 0..255"),
        (3, "data of type int: expected a path"),
        (np.zeros((0, 20, 20), np.uint8), "there is no example in it"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_does_not_fit_is_refused_in_a_line(of_files: Any, data: Any, line: str) -> None:
    with pytest.raises(UserError, match=line):
        Model.load(of_files[0]).predict(data)


def test_a_corrupt_file_among_good_ones_is_refused_by_name(of_files: Any, tmp_path: Path) -> None:
    folder = images(tmp_path / "new", 2)
    (folder / "dark" / "bad.jpg").write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(UserError, match=r"dark/bad\.jpg: is not a readable image"):
        Model.load(of_files[0]).predict(folder)


def test_loading_leaves_the_random_numbers_and_threads_of_a_process_alone(of_files: Any) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    Model.load(of_files[0]).predict(np.zeros((2, 20, 20), np.uint8))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "break_it, line",
    [
        (lambda run: (run / "model.json").unlink(), "has no model.json"),
        (lambda run: (run / "config.yaml").unlink(), "has no config.yaml"),
        (
            lambda run: (run / "checkpoints/network.safetensors").unlink(),
            "network.safetensors: is not there",
        ),
        (
            lambda run: (run / "checkpoints/network.safetensors").write_bytes(b"\x80\x04K\x01."),
            "is not a file of safetensors",
        ),
        (
            lambda run: _replace(run / "config.yaml", "- 16", "- 17"),
            r"does not fit the run's config \(.*size mismatch",
        ),
        (
            lambda run: _replace(run / "config.yaml", "aetl.autoencoder.composite", "my_own"),
            r"autoencoder\._target_=my_own\.\w+: is not aetl.s own.*--config-dir",
        ),
        (lambda run: _replace(run / "run.json", '"done"', '"failed"'), "the run is failed"),
        (lambda run: _replace(run / "model.json", '"version": 1', '"version": 9'), "version 9"),
    ],
)
def test_a_folder_that_holds_no_whole_model_is_refused_in_a_line(
    of_files: Any, tmp_path: Path, break_it: Any, line: str
) -> None:
    moved = taken_away(of_files[0], tmp_path / "moved")
    record = json.loads((moved / "run.json").read_text())
    kept = {k: v for k, v in record.items() if k not in ("check", "digests")}
    write_json(moved / "run.json", kept)  # as an older aetl left it
    break_it(moved)
    with pytest.raises(Exception, match=line) as caught:
        Model.load(moved)
    assert len(str(caught.value).splitlines()) == 1
    assert type(caught.value).__name__ in ("UserError", "ConfigError", "Untrusted", "Unreadable")


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_answers_are_written_as_tables_and_arrays(of_files: Any, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    run, data = of_files
    found = Model.load(run).predict(data / "test")
    csv, parquet = found.save(tmp_path / "a.csv"), found.save(tmp_path / "a.parquet")
    floats = {"p_dark": "f4", "p_bright": "f4"}
    frames = [found.to_pandas(), pd.read_csv(csv, dtype=floats), pd.read_parquet(parquet)]
    for frame in frames:
        assert list(frame.columns) == ["path", "prediction", "p_bright", "p_dark"]
        assert frame["prediction"].tolist() == found.columns["prediction"].tolist()
        assert np.array_equal(frame["p_dark"].to_numpy("f4"), found.columns["p_dark"])
    with np.load(found.save(tmp_path / "a.npz")) as arrays:
        assert np.array_equal(arrays["probability"], saved(run)["probability"])
        assert arrays["path"][0] == "bright/0.png"
    with pytest.raises(UserError, match=r"a\.xlsx: ends in none of \.csv, \.parquet, \.npz"):
        found.save(tmp_path / "a.xlsx")
    assert "24 rows" in repr(found)
    assert "<table>" in found._repr_html_()


def test_a_model_says_what_it_is(of_files: Any) -> None:
    model = Model.load(of_files[0])
    for text in (repr(model), model._repr_html_()):
        assert "finetune" in text
        assert "bright, dark" in text
    card = model.card()
    assert "| accuracy (first) |" in card
    assert "brought to 1 x 8 x 8" in card


@pytest.fixture(scope="module")
def of_vectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A run on vectors that are scaled by what is fitted to the training rows; all raw vectors."""
    folder = tmp_path_factory.mktemp("vectors")
    file = vectors(folder / "data.npz", y=lambda x: (x[:, 4] > 0).astype(int))
    both = [f"dataset@{d}=npz" for d in ("source", "target")]
    paths = [f"{d}.path={file}" for d in ("source", "target")]
    more = ["target.scale=standard", "source.size=null", "target.size=null"]
    run = done(folder, *both, *paths, *more, "target.shift.rotation=0.0", "duplicates=keep")
    with np.load(file) as arrays:
        return run, arrays["x"]


def test_raw_vectors_are_scaled_as_in_the_run(of_vectors: Any, tmp_path: Path) -> None:
    run, x = of_vectors
    expected = saved(run)
    found = Model.load(run).predict(x[expected["row"]])
    assert np.array_equal(found.value, expected["prediction"])
    assert np.array_equal(found.probability, expected["probability"])
    np.savez(tmp_path / "new.npz", x=x[expected["row"]])
    assert np.array_equal(Model.load(run).predict(tmp_path / "new.npz").value, found.value)
    with pytest.raises(UserError, match="this model takes vectors of shape 5"):
        Model.load(run).predict(x[:, :4])


def test_an_exported_graph_scales_raw_vectors(of_vectors: Any, tmp_path: Path) -> None:
    run, x = of_vectors
    file, parity = export(Model.load(run), tmp_path, "torch")
    assert parity is not None
    assert parity.holds
    rows = saved(run)["row"]
    found = torch.export.load(file).module()(torch.from_numpy(x[rows].astype(np.float32)))
    np.testing.assert_allclose(found.detach().numpy(), saved(run)["probability"], atol=1e-6)


def test_predictions_know_the_rows_and_files_of_their_examples(of_files: Any) -> None:
    run, data = of_files
    assert saved(run)["path"].tolist() == [
        path.relative_to(data).as_posix() for path in sorted((data / "test").rglob("*.png"))
    ]
    assert saved(run)["row"].tolist() == list(range(24))
