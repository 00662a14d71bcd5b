"""The first class is a class as the others: renaming the classes renames the answers.

Whatever takes 0 for "no label", or counts from 1, differs after the classes changed places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aetl.autoencoder.conditional_vae import ConditionalVAE
from aetl.autoencoder.labelled import Labelled
from aetl.autoencoder.m2 import M2
from aetl.bottleneck.normal import Normal
from aetl.corruption.none import NoCorruption
from aetl.data.base import Examples
from aetl.data.split import make_split
from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.head.knn import Knn
from aetl.head.logistic import Logistic
from aetl.head.nearest_mean import NearestMean
from aetl.head.ridge import Ridge
from aetl.head.svm import Svm
from aetl.loss.gaussian import Gaussian
from aetl.loss.label_nll import LabelNLL
from aetl.loss.semi_supervised import SemiSupervised
from aetl.metric.accuracy import Accuracy
from aetl.metric.auroc import Auroc
from aetl.metric.base import Metric
from aetl.metric.macro_f1 import MacroF1
from aetl.metric.nll import NegativeLogLikelihood
from aetl.rng import Rng
from aetl.score.base import Evidence, Score
from aetl.score.gbc import GBC
from aetl.score.h_score import HScore
from aetl.score.knn import KNN
from aetl.score.logme import LogME
from aetl.score.nleep import NLEEP
from aetl.score.transrate import TransRate
from aetl.transfer.base import Sample
from aetl.transfer.instance.bbse import label_ratio
from aetl.transfer.instance.self_training import surest
from aetl.transfer.instance.tradaboost import boosted
from aetl.types import Prediction
from tests.backbones import mlp
from tests.loss.draw import normal

CLASSES = 3
NEW = np.array([2, 0, 1])
"""The new name of each class: none keeps its own."""
OLD = np.argsort(NEW)

LABELLED: dict[str, type[Labelled]] = {"conditional_vae": ConditionalVAE, "m2": M2}


def labelled(name: str) -> Any:
    torch.manual_seed(0)
    return LABELLED[name](
        (5,), CLASSES, labels="all", corruption=NoCorruption(), backbone=mlp(6),
        bottleneck=lambda h: Normal(h, latent_dim=2),
    ).double()  # fmt: skip


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("label", range(CLASSES))
def test_every_known_class_stands_in_the_latent_for_certain(name: str, label: int) -> None:
    model, x = labelled(name), normal(4, 5)
    latent = model(x, Rng.of(0), torch.tensor([label, -1, label, -1])).latent
    certain = torch.eye(CLASSES).double()[label]
    assert torch.equal(latent[::2, -CLASSES:], certain.expand(2, -1))
    unknown = model(x, Rng.of(0), None).latent[1::2, -CLASSES:]
    torch.testing.assert_close(latent[1::2, -CLASSES:], unknown)
    assert float(unknown.detach().max()) < 0.9


@pytest.mark.parametrize("name", LABELLED)
def test_samples_of_every_class_are_drawn_alike_often_and_as_asked(name: str) -> None:
    model = labelled(name)
    drawn = model.prior_sample(3000, Rng.of("prior"))[:, -CLASSES:]
    assert torch.equal(drawn.sum(1), torch.ones(3000).double())
    assert float((drawn.mean(0) - 1 / CLASSES).abs().max()) < 0.04
    asked = torch.arange(CLASSES)
    assert torch.equal(
        model.prior_sample(CLASSES, Rng.of(0), asked)[:, -CLASSES:], torch.eye(CLASSES).double()
    )


def renamed(y: Any) -> Any:
    known = np.asarray(y)
    found = np.where(known < 0, -1, NEW[np.maximum(known, 0)])
    return torch.from_numpy(found) if isinstance(y, Tensor) else found


def test_the_bounds_on_labels_follow_the_names() -> None:
    y = torch.tensor([0, 1, 2, -1, 0])
    logits, mean, logvar = normal(5, 3), normal(5, 3, 2, seed=1), normal(5, 3, 2, seed=2)
    decoded, x = normal(5, 3, 4, seed=3), normal(5, 4, seed=4)
    bound = SemiSupervised(
        weight=1.0, likelihood=Gaussian(weight=1.0, sigma=0.7, learned=False).double()
    )
    of_every = [logits, mean, logvar, decoded]
    moved = [part[:, OLD] for part in of_every]
    torch.testing.assert_close(bound(x, renamed(y), *moved), bound(x, y, *of_every))
    nll = LabelNLL(weight=1.0)
    torch.testing.assert_close(nll(renamed(y), moved[0]), nll(y, logits))
    surprise = -logits.log_softmax(1)
    expected = torch.tensor([float(surprise[i, k]) if k >= 0 else 0.0 for i, k in enumerate(y)])
    torch.testing.assert_close(nll(y, logits).double(), expected.double())


PLAIN: dict[str, Any] = {"scale": "standard", "balanced": False, "folds": 5}
HEADS: dict[str, Head] = {
    "knn": Knn(**PLAIN, neighbours=1),  # of more, ties go by the name
    "logistic": Logistic(**PLAIN, strength=0.5),
    "nearest_mean": NearestMean(**PLAIN),
    "ridge": Ridge(**PLAIN, strength=1.0),
    "svm": Svm(**PLAIN, strength=1.0, kernel="linear"),
    "balanced": Logistic(scale="none", balanced=True, folds=5, strength=0.5),
}


def clouds(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice(CLASSES, n, p=[0.5, 0.3, 0.2])
    return rng.normal(size=(n, 4)) + 1.5 * np.eye(CLASSES, 4)[y], y


@pytest.mark.parametrize("name", HEADS)
def test_heads_follow_the_names(name: str) -> None:
    x, y = clouds(0)
    new, weight = clouds(1)[0], np.random.default_rng(2).uniform(0.5, 2.0, len(x))
    before, after = (
        Chosen(HEADS[name], "classification").fit(x, labels, weight).predict_proba(new)
        for labels in (y, renamed(y))
    )
    np.testing.assert_allclose(after[:, NEW], before, rtol=1e-4, atol=1e-6)


METRICS: list[Metric] = [Accuracy(), MacroF1(), NegativeLogLikelihood(), Auroc()]


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: type(one).__name__)
def test_metrics_follow_the_names(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    probability = rng.dirichlet(np.ones(CLASSES), 40)
    y = rng.integers(0, CLASSES, 40)
    before = metric(Prediction(probability.argmax(1), probability), y)
    moved = probability[:, OLD]
    assert metric(Prediction(moved.argmax(1), moved), renamed(y)) == pytest.approx(before)
    assert np.isfinite(before)


SCORES: list[Score] = [
    GBC(dims=64, covariance="diagonal"), HScore(), KNN(neighbours=1), LogME(),
    NLEEP(energy=0.8, components=3), TransRate(epsilon=1e-4),
]  # fmt: skip


@pytest.mark.parametrize("score", SCORES, ids=lambda one: type(one).__name__)
def test_scores_follow_the_names(score: Score) -> None:
    x, y = clouds(4)
    before, after = (score(Evidence(x, labels, x[:0], x[:0])) for labels in (y, renamed(y)))
    assert after == pytest.approx(before, rel=1e-6)


def test_label_shift_follows_the_names() -> None:
    rng = np.random.default_rng(5)
    y, guess, target = (rng.integers(0, CLASSES, n) for n in (200, 200, 100))
    guess = np.where(rng.random(200) < 0.7, y, guess)
    before = np.asarray(label_ratio(guess, y, target, CLASSES))
    after = np.asarray(label_ratio(renamed(guess), renamed(y), renamed(target), CLASSES))
    np.testing.assert_allclose(after[NEW], before)


def test_boosting_follows_the_names() -> None:
    (x, y), (s, z) = clouds(6), clouds(7)
    new = clouds(8)[0]

    def answer(name: Callable[[Any], Any]) -> np.ndarray:
        estimator = Chosen(HEADS["logistic"], "classification")
        target, source = Sample(x, name(y), np.ones(60)), Sample(s, name(z), np.ones(60))
        return boosted(estimator, target, source, 4).predict_proba(new)

    np.testing.assert_allclose(answer(renamed)[:, NEW], answer(lambda y: y), rtol=1e-4, atol=1e-6)


def test_self_training_takes_the_surest_of_every_class() -> None:
    probability = np.random.default_rng(9).dirichlet(np.ones(CLASSES), 30)
    before, after = (surest(p, 0.4, 2) for p in (probability, probability[:, OLD]))
    assert before.tolist() == after.tolist()
    label = probability.argmax(1)
    assert all(before[label == k].any() for k in range(CLASSES))


def test_examples_of_the_first_class_have_a_label() -> None:
    y = torch.tensor([0, 0, -1, 1, 2, 0, -1, 1, 2, 0])
    examples = Examples.of(torch.arange(10.0)[:, None], y, tuple("abc"))
    assert examples.known.tolist() == [True, True, False] + [True] * 3 + [False] + [True] * 3
    split = make_split(examples, validation_fraction=0.0, budget="all", per_class=False, seed=0)
    assert sorted(split.labelled.tolist()) == np.flatnonzero(y.numpy() >= 0).tolist()
    assert sorted(split.unlabelled.tolist()) == [2, 6]
