"""Regression: standardised targets, squared error, and ridge in closed form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.cli import main
from aetl.data.base import Examples
from aetl.task.regression import Regression
from aetl.types import UserError
from tests.tiny import MLP, SMALL

TASK = Regression()


def examples(y: torch.Tensor, classes: tuple[str, ...] = ()) -> Examples:
    return Examples.of(torch.zeros(len(y), 2), y, classes)


def test_location_and_scale_are_the_mean_and_the_deviation_of_the_training_targets() -> None:
    y = torch.tensor([1.0, 3.0, 8.0])
    location, scale = TASK.scale(y)
    assert location == pytest.approx(4.0)
    assert scale == pytest.approx(np.std([1.0, 3.0, 8.0]))


@pytest.mark.parametrize("y", [torch.tensor([2.5]), torch.full((4,), 2.5)])
def test_targets_without_a_spread_are_only_shifted(y: torch.Tensor) -> None:
    assert TASK.scale(y) == (2.5, 1.0)


def test_loss_is_squared_error_in_units_of_the_scale() -> None:
    output, y = torch.tensor([[1.0], [5.0]]), torch.tensor([3.0, 5.0])
    assert TASK.loss(output, y, 4.0).tolist() == [0.25, 0.0]


def test_loss_does_not_depend_on_the_unit_of_the_target() -> None:
    y = torch.randn(50, dtype=torch.float64)
    output = torch.randn(50, 1, dtype=torch.float64)
    losses = []
    for factor, shift in ((1.0, 0.0), (1000.0, -40.0)):
        moved = factor * y + shift
        location, scale = TASK.scale(moved)
        head = factor * output + shift  # what a network with that location and scale gives
        assert location == pytest.approx(factor * float(y.mean()) + shift)
        losses.append(TASK.loss(head, moved, scale))
    torch.testing.assert_close(losses[0], losses[1])


def test_targets_are_the_numbers_or_the_numbers_that_classes_are_called() -> None:
    assert TASK.targets(examples(torch.tensor([0.5, 2.0]))).tolist() == [0.5, 2.0]
    named = examples(torch.tensor([0, 1, 1]), ("10", "2.5"))
    assert TASK.targets(named).tolist() == [10.0, 2.5, 2.5]
    assert TASK.output_dim(named) == 1
    with pytest.raises(UserError, match=r"the classes \(cat, dog, ...\) are not numbers"):
        TASK.targets(examples(torch.tensor([0, 1]), ("cat", "dog")))


def test_linear_head_is_weighted_ridge_in_closed_form() -> None:
    """With an intercept that is not shrunk: centre by the weighted means, then solve."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(40, 3)) * [1.0, 50.0, 0.1], rng.uniform(0.1, 2.0, 40)
    y = x @ [1.0, 0.1, -3.0] + rng.normal(size=40) + 7.0
    z = (x - x.mean(0)) / x.std(0)
    zc, yc = z - np.average(z, 0, w), y - np.average(y, weights=w)
    beta = np.linalg.solve(zc.T @ (w[:, None] * zc) + 0.7 * np.eye(3), zc.T @ (w * yc))
    expected = zc @ beta + np.average(y, weights=w)
    prediction = TASK.predict_with(TASK.linear_head(0.7).fit(x, y, w), x, 1)
    np.testing.assert_allclose(prediction.value, expected, rtol=1e-9)
    assert prediction.probability is None


def test_predictions_are_in_the_units_of_the_target() -> None:
    prediction = TASK.predict(torch.tensor([[3.0], [-1.5]]))
    assert prediction.value.tolist() == [3.0, -1.5]
    assert prediction.value.dtype == np.float64


def test_one_test_example_has_a_score_and_no_number_that_is_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is undefined of one example is null in every JSON, which knows no NaN."""

    def none_of(constant: str) -> None:
        raise AssertionError(constant)

    x = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    arrays = {"x_train": x[1:], "y_train": x[1:, 0], "x_test": x[:1], "y_test": x[:1, 0]}
    np.savez(tmp_path / "own.npz", **arrays)
    data = [f"{key}={value}" for part in ("source", "target") for key, value in (
        (f"dataset@{part}", "npz"), (f"{part}.path", tmp_path / "own.npz"))]  # fmt: skip
    few = [word for word in SMALL if "size=160" not in word and "rotation" not in word]
    own = [*data, "task=regression", "metric=mae", "target.budget=20", "score=none"]
    if main([*few, *MLP, *own, f"output_dir={tmp_path}/out"]) != 0:
        pytest.fail(capfd.readouterr().err)
    (run,) = (tmp_path / "out").glob("2*/*")
    for file in run.glob("*.json"):
        json.loads(file.read_text(), parse_constant=none_of)
    for command in (["show", str(run), "--json"], ["compare", str(run), "--json"]):
        capfd.readouterr()
        assert main(command) == 0
        json.loads(capfd.readouterr().out, parse_constant=none_of)
    assert main(["report", str(run)]) == 0
    assert ">nan<" not in (run / "report.html").read_text().lower()
