"""Classification: the loss, the predictions and the linear head against scikit-learn and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aetl.data.base import Examples
from aetl.task.classification import Classification
from aetl.types import UserError

TASK = Classification()


def examples(y: torch.Tensor, classes: tuple[str, ...]) -> Examples:
    return Examples.of(torch.zeros(len(y), 2), y, classes)


def test_loss_is_the_negative_log_likelihood_of_each_example() -> None:
    output, y = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = [-(row[k] - torch.logsumexp(row, 0)) for row, k in zip(output, y, strict=True)]
    torch.testing.assert_close(TASK.loss(output, y, 1.0), torch.stack(expected))


def test_predictions_are_the_softmax_and_its_largest() -> None:
    output = torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]])
    prediction = TASK.predict(output)
    expected = np.exp(output.double().numpy())
    expected /= expected.sum(1, keepdims=True)
    assert prediction.probability is not None
    np.testing.assert_allclose(prediction.probability, expected, rtol=1e-12)
    assert prediction.value.tolist() == [2, 0]


def test_targets_are_the_classes_and_the_head_has_one_output_for_each() -> None:
    data = examples(torch.tensor([0, 2, 1]), ("a", "b", "c"))
    assert TASK.targets(data).tolist() == [0, 2, 1]
    assert TASK.output_dim(data) == 3
    assert TASK.scale(data.y) == (0.0, 1.0)


def test_real_valued_targets_are_refused() -> None:
    with pytest.raises(UserError, match="use task=regression"):
        TASK.targets(examples(torch.tensor([0.5, 1.0]), ()))


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3)) * [1.0, 100.0, 0.01] + 5
    return x, rng.integers(0, 3, 60), rng.uniform(0.1, 2.0, 60)


def test_linear_head_is_weighted_logistic_regression_on_standardised_features() -> None:
    x, y, w = data()
    head = TASK.linear_head(0.5).fit(x, y, w)
    scaler = StandardScaler().fit(x)
    reference = LogisticRegression(C=2.0, max_iter=2000)
    reference.fit(scaler.transform(x), y, sample_weight=w)
    expected = reference.predict_proba(scaler.transform(x))
    prediction = TASK.predict_with(head, x, 3)
    assert prediction.probability is not None
    np.testing.assert_allclose(prediction.probability, expected, rtol=1e-9)
    assert np.array_equal(prediction.value, expected.argmax(1))


def test_a_weight_of_two_is_the_example_twice() -> None:
    """On features that are standard already, since the standardisation does not weigh."""
    x, y, _ = data()
    x = StandardScaler().fit_transform(x)
    twice = np.concatenate([x, x[:20]]), np.concatenate([y, y[:20]])
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    weighted = TASK.linear_head(1.0).fit(x, y, weight).model.model
    repeated = LogisticRegression(C=1.0, max_iter=2000).fit(*twice)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)
    plain = TASK.linear_head(1.0).fit(x, y, np.ones(60)).model.model
    assert np.abs(plain.coef_ - repeated.coef_).max() > 0.02


def test_classes_without_a_label_have_no_probability() -> None:
    x, y, w = data()
    y = np.where(y == 1, 3, y)
    prediction = TASK.predict_with(TASK.linear_head(1.0).fit(x, y, w), x, 5)
    assert prediction.probability is not None
    assert prediction.probability.shape == (60, 5)
    assert prediction.probability[:, [1, 4]].max() == 0.0
    np.testing.assert_allclose(prediction.probability.sum(1), 1.0)
    assert set(prediction.value) <= {0, 2, 3}


def test_labels_of_one_class_give_that_class() -> None:
    x, _, w = data()
    head = TASK.linear_head(1.0).fit(x, np.full(60, 2), w)
    prediction = TASK.predict_with(head, x, 4)
    assert set(prediction.value) == {2}
    assert prediction.probability is not None
    assert (prediction.probability[:, 2] == 1.0).all()
