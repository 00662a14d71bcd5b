"""What is kept of a fitted estimator, against scikit-learn's own object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from aetl.files import read_tensors, write_tensors
from aetl.head.chosen import Chosen
from aetl.head.fitted import put_back, state_of
from aetl.head.knn import Knn
from aetl.head.logistic import Logistic
from aetl.head.svm import Svm
from aetl.stage.fitted import _tensor
from aetl.task.classification import Classification
from aetl.task.multilabel import Multilabel
from aetl.task.regression import Regression

ESTIMATORS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "ridge": make_pipeline(StandardScaler(), Ridge()),
    "constant": DummyClassifier(strategy="most_frequent"),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "regression tree": DecisionTreeRegressor(max_depth=4, random_state=0),
    "svm": SVC(kernel="rbf"),
    "linear svm": SVC(kernel="linear"),
    "support vector regression": SVR(),
    "centroids": NearestCentroid(),
    "neighbours": NearestNeighbors(n_neighbors=3),
}
HEADS = {
    "logistic": Logistic(scale="auto", balanced=False, folds=5, strength="auto"),
    "knn": Knn(scale="none", balanced=False, folds=5, neighbours=3),
    "svm": Svm(scale="standard", balanced=False, folds=5, strength=1.0, kernel="rbf"),
}
GIVES = ("predict", "predict_proba", "decision_function", "kneighbors")


def data(classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(90, 6)), rng.normal(size=(40, 6))
    return x, (np.arange(90) % classes + (x[:, 0] > 1)) % classes, new


def through_a_file(state: dict[str, np.ndarray], folder: Any) -> dict[str, np.ndarray]:
    write_tensors(folder / "state.safetensors", {k: _tensor(v) for k, v in state.items()})
    return {k: t.numpy() for k, t in read_tensors(folder / "state.safetensors").items()}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_that_is_put_back_answers_the_same_to_the_bit(
    name: str, tmp_path: Any
) -> None:
    x, y, new = data()
    fitted = clone(ESTIMATORS[name]).fit(x, y)
    again = put_back(clone(ESTIMATORS[name]), through_a_file(state_of(fitted), tmp_path))
    answered = [method for method in GIVES if hasattr(fitted, method)]
    assert answered
    for method in answered:
        one, other = getattr(fitted, method)(new), getattr(again, method)(new)
        assert np.array_equal(one, other), method


@pytest.mark.parametrize("only_class", [False, True])
@pytest.mark.parametrize("name", ["logistic", "knn", "svm"])
@pytest.mark.parametrize("task", [Classification(), Multilabel(), Regression()])
def test_heads_of_every_task_come_back_from_their_arrays(
    task: Any, name: str, only_class: bool, tmp_path: Any
) -> None:
    """Also where all the labels at hand are of one class."""
    x, classes, new = data()
    if only_class:
        classes = np.full_like(classes, 2)
    several = np.stack([classes > 0, classes > 1], 1).astype(int)
    numbers = x[:, 0] * 3 + classes
    y = {"classification": classes, "multilabel": several, "regression": numbers}[task.kind]
    fitted = Chosen(HEADS[name], task.kind).fit(x, y, np.ones(len(x)))
    again = Chosen(HEADS[name], task.kind).load_state(through_a_file(fitted.state(), tmp_path))
    one, other = (task.predict_with(model, new, 3) for model in (fitted, again))
    assert np.array_equal(one.value, other.value)
    assert np.array_equal(one.probability, other.probability) or one.probability is None


def test_an_array_of_objects_is_refused() -> None:
    fitted = NearestCentroid().fit(*data()[:2])
    fitted.classes_ = np.array(["a", None], dtype=object)
    with pytest.raises(TypeError, match="classes_ is an array of object"):
        state_of(fitted)
