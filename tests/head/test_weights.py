"""A weight of three is three copies: every head that is fitted with weights uses all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.head.knn import Knn
from aetl.head.logistic import Logistic
from aetl.head.nearest_mean import NearestMean
from aetl.head.ridge import Ridge
from aetl.head.svm import Svm

PLAIN: dict[str, Any] = {"scale": "none", "balanced": False, "folds": 5}
RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(40, 3)), RNG.normal(size=(15, 3))
CLASSES = (X[:, 0] + 0.7 * RNG.normal(size=40) > 0).astype(int) + (X[:, 1] > 0.8)
NUMBERS = X[:, 0] - 2.0 * X[:, 1] + RNG.normal(size=40)
COUNTS = np.where(np.arange(40) % 2, 5, 1)

CASES: dict[str, tuple[Head, tuple[str, ...]]] = {
    "logistic": (Logistic(**PLAIN, strength=0.5), ("classification",)),
    "nearest_mean": (NearestMean(**PLAIN), ("classification",)),
    "ridge": (Ridge(**PLAIN, strength=2.0), ("classification", "regression")),
    "linear svm": (Svm(**PLAIN, strength=2.0, kernel="linear"), ("classification", "regression")),
    "rbf svm": (Svm(**PLAIN, strength=2.0, kernel="rbf"), ("classification", "regression")),
    "knn": (Knn(**PLAIN, neighbours=40), ("classification", "regression")),
}


def answer(head: Head, kind: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    fitted = Chosen(head, kind).fit(x, y, weight)
    return fitted.predict(NEW) if kind == "regression" else fitted.predict_proba(NEW)


@pytest.mark.parametrize(
    "name, kind", [(name, kind) for name, (_, kinds) in CASES.items() for kind in kinds]
)
def test_a_weight_is_so_many_copies(name: str, kind: str) -> None:
    head, y = CASES[name][0], NUMBERS if kind == "regression" else CLASSES
    weighted = answer(head, kind, X, y, COUNTS.astype(float))
    plain = answer(head, kind, X, y, np.ones(40))
    assert np.abs(weighted - plain).max() > 1e-3  # they matter
    if name == "knn":
        return  # of copies there are more among the nearest: see its own test
    if kind == "regression" and "svm" in name:
        return  # the units of its targets are those of the examples, however they count
    copies = np.repeat(np.arange(40), COUNTS)
    repeated = answer(head, kind, X[copies], y[copies], np.ones(len(copies)))
    np.testing.assert_allclose(weighted, repeated, rtol=2e-2, atol=2e-3)
