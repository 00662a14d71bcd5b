"""What is exported gives what the run predicted, in programs without aetl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aetl.cli import main
from aetl.config import conf_dir
from aetl.files import read_json, read_tensors, sealed, write_json
from aetl.model.datasets import own_test
from aetl.model.export import export
from aetl.model.model import Model
from aetl.task.classification import Classification
from aetl.task.multilabel import Multilabel
from aetl.task.regression import Regression
from aetl.types import UserError
from tests.model.runs import done, saved, vectors

onnxruntime = pytest.importorskip("onnxruntime")
STRATEGIES = sorted(
    str(path.relative_to(conf_dir() / "transfer").with_suffix(""))
    for path in (conf_dir() / "transfer").glob("*/*.yaml")
)
CONV = ("backbone=conv", "backbone.channels=[4,6]", "backbone.norm=batch")
NEEDS = {
    "instance/tradaboost_r2": ("task=regression", "metric=r2"),
    "instance/elbo_weights": ("autoencoder=vae",),
    "feature/as_is": ("task=anomaly", "target.budget=8"),
    "feature/frozen": ("task=anomaly", "target.budget=8"),
    "feature/dec": ("task=clustering",),
    "feature/idec": ("task=clustering",),
}
WITHOUT_A_GRAPH = (
    *("feature/knn", "feature/svm", "feature/tca", "feature/msda", "feature/subspace_alignment"),
    *("instance/tradaboost", "instance/tradaboost_r2", "feature/as_is", "feature/frozen"),
)
"""Heads that are no linear ones, or that see aligned features; answers of a decoder."""
EVERYDAY = {("parameter/lora", "onnx"), ("feature/linear_probe", "torch")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def beside(file: Path, x: np.ndarray) -> np.ndarray:
    """What another program gets from the file, for batches of any size."""
    if file.suffix == ".pt2":
        program = torch.export.load(file).module()
        run = lambda part: program(torch.from_numpy(part)).detach().numpy()  # noqa: E731
    else:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        run = lambda part: session.run(None, {"x": part})[0]  # noqa: E731
    return np.concatenate([run(x[i : i + 50]) for i in range(0, len(x), 50)])


@pytest.mark.parametrize(
    "transfer, format",
    [
        pytest.param(t, f, marks=() if (t, f) in EVERYDAY else pytest.mark.slow)
        for t in STRATEGIES
        for f in ("onnx", "torch")
    ],
)
def test_an_exported_graph_predicts_as_the_run(
    world: Path, tmp_path: Path, transfer: str, format: Any
) -> None:
    run = world / transfer.replace("/", "-")
    if not run.exists():
        done(world, *CONV, f"transfer={transfer}", *NEEDS.get(transfer, ()), name=run.name)
    model = Model.load(run)
    if transfer in WITHOUT_A_GRAPH:
        with pytest.raises(UserError, match="part of a graph; --gives features"):
            export(model, tmp_path, format)
        file, parity = export(model, tmp_path, format, "features")
        expected = model.encode(own_test(model)).value
    else:
        file, parity = export(model, tmp_path, format)
        expected = saved(run).get("probability", saved(run)["prediction"])
    assert parity is not None
    assert parity.holds
    assert parity.examples == len(own_test(model))
    found = beside(file, own_test(model).x.numpy())
    found = found.argmax(1) if model.task.kind == "clustering" else found
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("only_class", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("task", [Classification(), Multilabel(), Regression()])
def test_linear_heads_are_the_same_as_modules(task: Any, classes: int, only_class: bool) -> None:
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(80, 5)) * 3 + 1, rng.normal(size=(30, 5))
    label = (x[:, 0] > 1).astype(int) + (x[:, 1] > 2) * (classes - 2)
    label = np.full_like(label, 1) if only_class else label
    y = {"classification": label, "multilabel": np.stack([label > 0, label > 1], 1).astype(int),
         "regression": x[:, 0] * 3 + label}[task.kind]  # fmt: skip
    output_dim = {"classification": 4, "multilabel": 2, "regression": 1}[task.kind]
    head = task.linear_head(1.0).fit(x, y, np.ones(len(x)))
    found = head.graph(output_dim)(torch.from_numpy(new)).numpy()
    expected = task.predict_with(head, new, output_dim)
    wanted = expected.value if expected.probability is None else expected.probability
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-12, atol=1e-14)


def test_the_command_prints_the_difference_and_what_is_not_in_the_graph(
    world: Path, capsys: Any
) -> None:
    run = done(world, "transfer=parameter/finetune", name="command")
    assert main(["export", str(run)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(run / "export" / "model.onnx")
    assert "largest difference" in said.err
    assert "the run's predictions of its test set, 359 examples" in said.err
    assert "not in the graph: resize to 8 x 8" in said.err
    about = json.loads((run / "export" / "model.json").read_text())
    takes = about["input"]
    assert (takes["shape"], takes["dtype"]) == (["N", 1, 8, 8], "uint8")
    assert about["classes"] == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    "task", ["anomaly", pytest.param("reconstruction", marks=pytest.mark.slow)]
)
def test_what_the_decoder_answers_is_exported_as_features_alone(
    world: Path, task: str, capsys: Any
) -> None:
    small = ["transfer=parameter/finetune", "target.budget=8"]
    run = done(world, f"task={task}", *small, name=task)
    assert main(["export", str(run)]) == 2
    assert f"answers task={task} by its decoder and the loss" in capsys.readouterr().err
    assert not (run / "export" / "model.onnx").exists()
    assert main(["export", str(run), "--gives", "features"]) == 0


def test_a_difference_above_the_tolerance_fails_and_leaves_no_graph(
    world: Path, tmp_path: Path, capsys: Any
) -> None:
    run = done(world, "transfer=parameter/finetune", name="differs")
    arrays = saved(run)
    arrays["probability"][3, 3] += 0.01
    np.savez(run / "predictions.npz", **arrays)
    record = {k: v for k, v in read_json(run / "run.json").items() if k != "digests"}
    write_json(run / "run.json", sealed(record))
    assert main(["export", str(run), "-o", str(tmp_path / "out"), "--format", "torch"]) == 1
    assert "largest difference 0.01 (tolerance 1e-05)" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.pt2").exists()


def test_without_the_data_a_graph_is_compared_on_drawn_inputs(tmp_path: Path) -> None:
    file = vectors(tmp_path / "data.npz", y=lambda x: (x[:, 0] > 0).astype(int))
    both = [f"dataset@{d}=npz" for d in ("source", "target")]
    paths = [f"{d}.path={file}" for d in ("source", "target")]
    sizes = ["source.size=null", "target.size=null", "target.shift.rotation=0.0"]
    run = done(tmp_path, *both, *paths, *sizes, "transfer=parameter/finetune")
    file.unlink()
    _, parity = export(Model.load(run), tmp_path / "out", "torch")
    assert parity is not None
    assert parity.holds
    assert "drawn inputs (the run's data is not here)" in str(parity)


def test_tensors_are_exported_beside_json_alone(world: Path, tmp_path: Path) -> None:
    run = done(world, "transfer=feature/linear_probe", name="tensors")
    file, parity = export(Model.load(run), tmp_path, "safetensors")
    assert parity is None
    assert read_tensors(file).keys() == Model.load(run).network.state_dict().keys()
    assert "estimator.model.model.coef_" in read_tensors(tmp_path / "head.safetensors")
    suffixes = {path.suffix for path in tmp_path.iterdir()}
    assert suffixes == {".safetensors", ".json", ".md"}
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 0
