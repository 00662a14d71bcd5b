"""Minimum class confusion and margin disparity, written out example by example."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch

from aetl.task.classification import Classification
from aetl.transfer.feature.dann import reversal
from aetl.transfer.feature.mcc import Mcc, confusion
from aetl.transfer.feature.mdd import Mdd, disparity
from tests.transfer.build import normal, small_network, step, view

pytestmark = pytest.mark.usefixtures("float64")


def softmax(row: np.ndarray) -> np.ndarray:
    powers = np.exp(row - row.max())
    return np.asarray(powers / powers.sum())


def test_confusion_is_that_of_pairs_of_classes_over_the_examples() -> None:
    logits = normal(7, 3)
    rows = [softmax(row / 2.5) for row in logits.numpy()]
    certainty = [1 + exp(sum(p * log(p + 1e-5) for p in row)) for row in rows]
    weight = [7 * c / sum(certainty) for c in certainty]
    pairs = [[sum(w * r[j] * r[k] for w, r in zip(weight, rows, strict=True)) for k in range(3)]
             for j in range(3)]  # fmt: skip
    off = sum(pairs[j][k] / sum(pairs[j]) for j in range(3) for k in range(3) if j != k)
    assert float(confusion(logits, 2.5)) == pytest.approx(off / 3, rel=1e-10)


def test_sure_predictions_are_not_confused_and_undecided_ones_most() -> None:
    sure = 100 * torch.eye(4)
    assert float(confusion(sure, 1.0)) == pytest.approx(0.0, abs=1e-12)
    assert float(confusion(torch.zeros(5, 4), 1.0)) == pytest.approx(3 / 4)
    network = small_network()
    at = step(network, source=normal(6, 1, 4, 4), target=normal(5, 1, 4, 4, seed=1))
    found = Mcc(weight=3.0, temperature=2.0).penalty(at, None)
    expected = 3 * confusion(at.streams["target"].output, 2.0)
    torch.testing.assert_close(found, expected)


def test_disparity_is_the_papers_sum_of_logarithms() -> None:
    source, target = normal(6, 3), normal(4, 3, seed=1)
    a, b = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 1, 0, 2])
    agree = -np.mean([log(softmax(r)[k]) for r, k in zip(source.numpy(), a, strict=True)])
    leave = -np.mean([log(1 - softmax(r)[k]) for r, k in zip(target.numpy(), b, strict=True)])
    found = float(disparity(source, a, target, b, 4.0))
    assert found == pytest.approx(4 * agree + leave, rel=1e-10)


def test_the_features_climb_what_the_second_classifier_descends() -> None:
    network, strategy = small_network(), Mdd(weight=2.0, factor=4.0, hidden=5, gamma=10.0)
    module = strategy.module(network, Classification(), view(network))
    at = step(network, 0.2, source=normal(6, 1, 4, 4), target=normal(5, 1, 4, 4, seed=1))
    sides = [
        (module(at.streams[name].features), at.streams[name].output.argmax(1))
        for name in ("source", "target")
    ]
    plain = 2.0 * disparity(*sides[0], *sides[1], 4.0)
    against = strategy.penalty(at, module)
    torch.testing.assert_close(against, plain)
    for part, factor in ((network.autoencoder.encoder, -reversal(0.2, 10.0)), (module, 1.0)):
        wanted = list(part.parameters())
        found = torch.autograd.grad(against, wanted, retain_graph=True)
        expected = torch.autograd.grad(plain, wanted, retain_graph=True)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, factor * other, rtol=1e-9, atol=1e-13)
