"""Reviews of another product beside plain code and the published table, on the same split.

Chen et al. (2012), arXiv:1206.4683, in the protocol of Ganin et al. (2016), JMLR 17(59), table 1: a
linear support vector machine on 2 000 labelled reviews of the source. ``AETL_DATA_DIR`` says where
they are. Departure: two layers, not five, and one price of a violated margin, not a choice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve
from sklearn.datasets import load_svmlight_file
from sklearn.svm import SVC

from aetl.store.store import Entry
from tests.tiny import World

PUBLISHED = {
    ("books", "dvd"): 0.799,
    ("dvd", "electronics"): 0.748,
    ("electronics", "kitchen"): 0.847,
    ("kitchen", "books"): 0.707,
}
"""Of a linear support vector machine on the counts."""

FOLDER = Path(os.environ.get("AETL_DATA_DIR", "-"), "AmazonReviews")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.exists(), reason="AmazonReviews is not below AETL_DATA_DIR"),
]


def between(folder: Path, source: str, target: str) -> World:
    return World(
        folder, "dataset@source=amazon", "dataset@target=amazon", f"source.domain={source}",
        f"target.domain={target}", "source.size=null", "target.size=null",
        "target.shift.rotation=0.0", "source.test_fraction=0.0", "source.validation_fraction=0.0",
        "target.validation_fraction=0.0", "target.budget=0",
        "transfer/control@twin=source_raw_features", "head=svm", "head.scale=none",
        f"data_dir={FOLDER.parent}",
    )  # fmt: skip


def score(entry: Entry) -> float:
    saved = np.load(entry.path / "predictions.npz")
    return float((saved["prediction"] == saved["y"]).mean())


def read(domain: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    file = str(FOLDER / f"{domain}_{part}.svmlight")
    x, y = load_svmlight_file(file, n_features=5000, zero_based=True)
    return x.toarray(), y


@pytest.mark.parametrize(("source", "target"), list(PUBLISHED))
def test_counts_score_as_in_scikit_learn_and_as_published(
    tmp_path: Path, source: str, target: str
) -> None:
    arm = ("transfer=control/source_raw_features", "head.strength=100.0")
    ours = score(between(tmp_path, source, target).but(*arm).transfer())
    (x, y), (new, wanted) = read(source, "train"), read(target, "test")
    plain = SVC(C=0.01, kernel="precomputed").fit(x @ x.T, y).score(new @ x.T, wanted)
    published = PUBLISHED[source, target]
    print(f"\n{source} to {target}: {ours:.4f}, plain {plain:.4f}, published {published:.3f}")
    assert abs(ours - plain) < 0.005
    assert abs(ours - published) < 0.01


def test_marginalised_denoising_scores_as_in_numpy(tmp_path: Path) -> None:
    arm = ("transfer=feature/msda", "transfer.feature.layers=2", "head.strength=1000.0")
    ours = score(between(tmp_path, "books", "dvd").but(*arm).transfer())
    (x, y), (new, wanted) = read("books", "train"), read("dvd", "test")
    near, far = x @ x.T, new @ x.T
    for layer in layers(np.concatenate([x, read("dvd", "train")[0]]), 2):
        x, new = (np.tanh(rows @ layer[:-1] + layer[-1]) for rows in (x, new))
        near, far = near + x @ x.T, far + new @ x.T
    plain = SVC(C=0.001, kernel="precomputed").fit(near, y).score(far, wanted)
    print(f"\nbooks to dvd, mSDA of two layers: {ours:.4f}, plain {plain:.4f}")
    assert abs(ours - plain) < 0.005


def layers(x: np.ndarray, number: int) -> Iterator[np.ndarray]:
    """The paper's closed form, half of all masked: inputs and a constant by outputs."""
    for _ in range(number):
        n, d = x.shape
        clean, total = x.T @ x, x.sum(0)
        second = np.full((d + 1, d + 1), float(n))
        second[:d, :d] = clean / 4
        np.fill_diagonal(second[:d, :d], np.diag(clean) / 2)
        second[:d, d] = second[d, :d] = total / 2
        np.fill_diagonal(second, np.diag(second) + 1e-5)
        layer = solve(second, np.vstack([clean / 2, total]), assume_a="pos")
        yield layer
        x = np.tanh(x @ layer[:-1] + layer[-1])
