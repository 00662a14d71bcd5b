"""Adaptation in closed form on points whose shift has a name: as plain code, in the known order.

Sizes, noise and head as in skada-bench's ``simulated`` sets (Lalou et al., 2024, arXiv:2407.11676),
three draws; the points are those of ``dataset=shifted``, which departs a little from skada's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from tests.tiny import World

FORMS = {"covariate": 0.6, "label": 0.8, "concept": 0.8, "subspace": 0.4}
"""With their noise."""
ARMS = {
    "source": ("transfer=control/source_raw_features",),
    "coral": ("transfer=feature/coral_closed", "transfer.feature.ridge=1e-6"),
    "alignment": ("transfer=feature/subspace_alignment", "transfer.feature.dim=2"),
    "transport": ("transfer=feature/optimal_transport", "transfer.feature.rescale=false"),
    "kmm": ("transfer=[instance/kmm,control/source_raw_features]",),
    "tca": ("transfer=feature/tca", "transfer.feature.dim=2"),
}
SEEDS = range(3)
WITHIN = 0.01
HEAD = ("head=svm", "head.kernel=rbf", "head.strength=1.0", "head.scale=none")

Points = tuple[np.ndarray, np.ndarray]


def world(folder: Path, form: str, seed: int) -> World:
    domains = [
        f"{name}.{key}={value}"
        for name in ("source", "target")
        for key, value in {
            "form": form, "domain": name, "noise": FORMS[form], "data_seed": seed, "size": "null",
            "number": 800, "validation_fraction": 0.0,
        }.items()
    ]  # fmt: skip
    return World(
        folder, "dataset@source=shifted", "dataset@target=shifted", *domains, *HEAD,
        "target.shift.rotation=0.0", "source.test_fraction=0.0", "target.budget=0",
        "autoencoder=identity",
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Mean accuracies by form and arm; ``plain ARM`` are those of the code below."""
    table: dict[str, dict[str, list[float]]] = {form: {} for form in FORMS}
    for form, found in table.items():
        for seed in SEEDS:
            drawn = world(tmp_path_factory.mktemp(form), form, seed)
            for arm, overrides in ARMS.items():
                entry = drawn.but(*overrides).transfer()
                saved = np.load(entry.path / "predictions.npz")
                right = float((saved["prediction"] == saved["y"]).mean())
                found.setdefault(arm, []).append(right)
            for arm, right in plain(drawn).items():
                found.setdefault(f"plain {arm}", []).append(right)
    means = {
        form: {arm: float(np.mean(values)) for arm, values in found.items()}
        for form, found in table.items()
    }
    for form, row in means.items():
        print(f"\n{form}: " + ", ".join(f"{arm} {value:.3f}" for arm, value in row.items()))
    return means


def plain(drawn: World) -> dict[str, float]:
    """Accuracies by NumPy and scikit-learn."""
    source, target = drawn.domains.source, drawn.domains.target
    x, y = source.pool.x.double().numpy(), source.pool.y.numpy()
    unlabelled, test = target.pool.x.double().numpy(), target.test.x.double().numpy()
    truth = target.test.y.numpy()

    @cache
    def axes(domain: str) -> PCA:
        return PCA(2).fit(x if domain == "source" else unlabelled)

    def score(source: np.ndarray, test: np.ndarray) -> float:
        return float(SVC().fit(source, y).score(test, truth))

    colour = fractional_matrix_power(np.cov(x.T), -0.5) @ fractional_matrix_power(
        np.cov(unlabelled.T), 0.5
    )
    rotation = axes("source").components_ @ axes("target").components_.T
    return {
        "source": score(x, test),
        "coral": score((x - x.mean(0)) @ colour + unlabelled.mean(0), test),
        "alignment": score(axes("source").transform(x) @ rotation, axes("target").transform(test)),
        "transport": score(carried(x, unlabelled), test),
    }


def carried(source: np.ndarray, target: np.ndarray, iterations: int = 500) -> np.ndarray:
    """Barycentres of an entropic plan (Cuturi, 2013), with an entropy of 0.05 median costs."""
    cost = cdist(source, target, "sqeuclidean")
    kernel = np.exp(-cost / np.median(cost) / 0.05)
    v = np.ones(len(target))
    for _ in range(iterations):
        u = 1 / len(source) / (kernel @ v)
        v = 1 / len(target) / (kernel.T @ u)
    plan = u[:, None] * kernel * v
    return np.asarray(plan @ target / plan.sum(1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("arm", ["source", "coral", "alignment", "transport"])
def test_a_closed_form_scores_as_plain_code(
    measured: dict[str, dict[str, float]], form: str, arm: str
) -> None:
    assert abs(measured[form][arm] - measured[form][f"plain {arm}"]) < WITHIN


@pytest.mark.slow
def test_each_family_helps_where_it_is_known_to(measured: dict[str, dict[str, float]]) -> None:
    """Maps under concept drift, weights under label shift, components in a shared subspace.

    (In skada-bench weights help under covariate shift, too, by hyper-parameters that were chosen
    on the target's labels. At our defaults they do not.)
    """
    covariate, label, concept, subspace = (measured[form] for form in FORMS)
    for arm in ("coral", "alignment", "transport"):
        assert covariate[arm] < covariate["source"] - 0.05
        assert label[arm] < label["source"] - 0.1
        assert concept[arm] > concept["source"] + 0.1
        assert subspace[arm] < 0.5
    assert subspace["tca"] > subspace["source"] + 0.2
    assert label["kmm"] > label["source"] > label["transport"] + 0.1
    assert concept["kmm"] < concept["coral"] - 0.1
