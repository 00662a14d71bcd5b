"""Every strategy on numbers and on two classes: it predicts them, or says in a line why not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from aetl.config import ConfigError, check, resolved
from aetl.types import UserError
from tests.conformance.test_transfers import STRATEGIES
from tests.tiny import MLP, World

CORE = {"control/scratch", "control/raw_features", "parameter/finetune", "feature/linear_probe",
        "feature/knn", "feature/svm", "feature/mmd", "instance/kmm"}  # fmt: skip
EVERYDAY = CORE - {"control/raw_features", "feature/svm"}
DATA = {"regression": load_diabetes, "classification": load_breast_cancer}


def domains(task: str, folder: Path) -> list[str]:
    """Overrides of a source and a target of measured patients: a number, or one of two classes."""
    x, y = DATA[task](return_X_y=True)
    np.savez(folder / "own.npz", x=x, y=y)
    overrides = [f"task={task}"]
    for domain in ("source", "target"):
        keys = (f"path={folder}/own.npz", "scale=standard", "shift.rotation=0.0")
        overrides += [f"dataset@{domain}=npz", *(f"{domain}.{key}" for key in keys)]
    return overrides


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def world(task: str) -> World:
        folder = tmp_path_factory.mktemp(task)
        return World(folder, *MLP, "backbone.norm=batch", *domains(task, folder))

    return world


CASES = [
    pytest.param(task, name, marks=() if name in EVERYDAY else (pytest.mark.slow,))
    for task in DATA
    for name in STRATEGIES
]


@pytest.mark.parametrize("task, transfer", CASES)
def test_predictions_are_of_the_tasks_kind(worlds: Any, task: str, transfer: str) -> None:
    arm, refusal = worlds(task).but(f"transfer={transfer}"), None
    try:
        check(resolved(arm.cfg), {})
        found = np.load(arm.transfer().path / "predictions.npz")
    except (ConfigError, UserError) as error:
        refusal = str(error)
    if refusal is not None:
        assert len(refusal.splitlines()) == 1
        assert transfer not in CORE
        return
    test = arm.domains.target.test
    assert np.isfinite(found["prediction"]).all()
    np.testing.assert_allclose(found["y"], test.y.numpy())
    if task == "classification":
        assert found["probability"].shape == (len(test), 2)
        np.testing.assert_allclose(found["probability"].sum(1), 1.0, rtol=1e-5)
    else:
        assert "probability" not in found
        # In the target's units: near its mean and within twice its spread.
        spread = float(test.y.std())
        assert abs(float(np.median(found["prediction"])) - float(test.y.mean())) < 2 * spread
