"""Several labels for an example: the task by scikit-learn, its data, and every strategy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.cli import main
from aetl.config import ConfigError, check, resolved
from aetl.data.npz import Npz
from aetl.data.stratify import stratified_order
from aetl.rng import Rng
from aetl.task.classification import Classification
from aetl.task.multilabel import Multilabel
from aetl.task.regression import Regression
from aetl.types import Prediction, UserError
from tests.cli.test_runs import TINY, records
from tests.conformance.test_transfers import STRATEGIES
from tests.tiny import MLP, World
from tests.transfer.build import examples, normal

LABELS = 4


def drawn(number: int = 300) -> tuple[np.ndarray, np.ndarray]:
    x, y = make_multilabel_classification(number, 12, n_classes=LABELS, random_state=0)
    return x.astype(np.float32), y


def saved(folder: Path) -> list[str]:
    """Overrides of a source and a target that are both this data."""
    x, y = drawn()
    np.savez(folder / "own.npz", x=x, y=y)
    own = [f"dataset@{d}=npz" for d in ("source", "target")]
    own += [f"{d}.{key}" for d in ("source", "target") for key in
            (f"path={folder}/own.npz", "scale=standard", "shift.rotation=0.0")]  # fmt: skip
    return ["task=multilabel", *own]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("multilabel")
    return World(folder, *MLP, "backbone.norm=batch", *saved(folder))


def test_loss_is_the_sum_of_each_labels_cross_entropy_in_nats() -> None:
    output, y = normal(6, LABELS).double(), torch.from_numpy(drawn(6)[1])
    found = Multilabel().loss(output, y, 1.0)
    probability = output.sigmoid().numpy()
    for row in range(6):
        each = [
            log_loss([y[row, k]], [[1 - p, p]], labels=[0, 1])
            for k, p in enumerate(probability[row])
        ]
        assert float(found[row]) == pytest.approx(sum(each), rel=1e-12)
    prediction = Multilabel().predict(output)
    assert Multilabel().risk(prediction, y.numpy(), 1.0) == pytest.approx(float(found.mean()))
    assert np.array_equal(prediction.value, (output.numpy() > 0).astype(int))


def test_linear_head_is_one_logistic_regression_for_each_label() -> None:
    x, y = drawn()
    model = make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=2.0, max_iter=2000))
    )
    expected = model.fit(x[:200], y[:200]).predict_proba(x[200:])
    head = Multilabel().linear_head(0.5).fit(x[:200], y[:200], np.ones(200))
    found = Multilabel().predict_with(head, x[200:], LABELS)
    np.testing.assert_allclose(found.probability, expected, atol=1e-4)


def test_a_label_that_the_budget_never_or_always_shows_is_predicted_so() -> None:
    x, y = drawn(50)
    y[:, 1], y[:, 2] = 0, 1
    head = Multilabel().linear_head(0.5).fit(x, y, np.ones(50))
    assert Multilabel().predict_with(head, x, LABELS).value[:, 1:3].tolist() == [[0, 1]] * 50


def test_a_matrix_of_zeros_and_ones_is_several_labels(tmp_path: Path, world: World) -> None:
    pool = world.domains.target.pool
    assert pool.classes == ("0", "1", "2", "3")
    assert pool.y.shape == (len(pool), LABELS)
    assert pool.y.dtype == torch.int64
    order = stratified_order(pool.y, Rng.of(0), pool.classes)
    assert sorted(order) == list(range(len(pool)))


@pytest.mark.parametrize(
    "y, line",
    [
        (np.array([[0, 1], [2, 1], [1, 0]]), "holds 0 to 2; several labels must be 0 or 1 each"),
        (np.full((3, 2), 0.5), r"y is of shape \(3, 2\)"),
        (np.zeros((2, 2), int), r"y is of shape \(2, 2\); must be \(3,\)"),
    ],
)
def test_other_matrices_are_refused(y: np.ndarray, line: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((3, 5), np.float32), y=y)
    own = Npz(
        path=str(tmp_path / "own.npz"),
        scale="none",
        scale_by="own",
        layout="auto",
        kind="auto",
        top=None,
        unlabelled="auto",
        folds=None,
        fold=0,
        shift=None,
        size=None,
        budget="all",
        per_class=False,
        stratified=True,
        binarise="none",
        test_fraction=0.2,
        validation_fraction=0.1,
        split_seed=0,
    )
    with pytest.raises(UserError, match=line):
        own.load()


def test_tasks_name_the_one_that_fits_the_data(world: World) -> None:
    several, single = world.domains.target.pool, examples(normal(3, 5))
    for task in (Classification(), Regression()):
        with pytest.raises(UserError, match="several labels for an example, use task=multilabel"):
            task.targets(several)
    with pytest.raises(UserError, match="one target for an example, use task=classification"):
        Multilabel().targets(single)


CORE = {"control/scratch", "control/raw_features", "parameter/finetune", "feature/linear_probe",
        "feature/knn", "feature/svm", "feature/jan"}  # fmt: skip
EVERYDAY = {"control/scratch", "feature/linear_probe", "feature/knn", "feature/jan"}


@pytest.mark.parametrize(
    "transfer",
    [pytest.param(s, marks=() if s in EVERYDAY else (pytest.mark.slow,)) for s in STRATEGIES],
)
def test_every_strategy_predicts_all_labels_or_says_in_a_line_why_not(
    world: World, transfer: str
) -> None:
    arm, refusal = world.but(f"transfer={transfer}"), None
    try:
        check(resolved(arm.cfg), {})
        found = np.load(arm.transfer().path / "predictions.npz")
    except (ConfigError, UserError) as error:
        refusal = str(error)
    if refusal is not None:
        assert len(refusal.splitlines()) == 1
        assert transfer not in CORE
        return
    assert np.array_equal(found["y"], world.domains.target.test.y.numpy())
    assert found["prediction"].shape == found["probability"].shape == found["y"].shape
    assert np.array_equal(found["prediction"], found["probability"] >= 0.5)


def test_a_whole_run_scores_and_reports_several_labels(tmp_path: Path) -> None:
    arguments = [*TINY, *saved(tmp_path), "target.budget=60", f"output_dir={tmp_path}/out"]
    assert main([*arguments, "transfer=feature/linear_probe"]) == 0
    (record,) = records(tmp_path / "out")
    assert record["metric"] == "mean_average_precision"
    assert set(record["scores"]) == {"mean_average_precision", "macro_f1", "auroc"}
    assert record["scores"]["auroc"] > 0.6


def test_prediction_of_no_label_at_all_is_no_error() -> None:
    y = np.zeros((3, 2), np.int64)
    assert Multilabel().risk(Prediction(y, np.full((3, 2), 0.5)), y, 1.0) == pytest.approx(
        2 * np.log(2)
    )
