"""Scales against scikit-learn and by their definitions; what is saved scales as what was fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from aetl.data.scale import Scale
from aetl.types import UserError

X = torch.from_numpy(np.random.default_rng(0).gamma(2, 3, (200, 5)) + np.arange(5)).float()
METHODS = ["standard", "unit", "robust", "sample", "whiten", "log1p"]


@pytest.mark.parametrize(
    "method, reference",
    [("standard", StandardScaler()), ("unit", MinMaxScaler()), ("robust", RobustScaler())],
)
def test_columns_are_scaled_as_scikit_learn_does(method, reference) -> None:
    train, test = X[:150], X[150:]
    reference.fit(train.double().numpy())
    found = Scale.fit(train, method)(test)
    np.testing.assert_allclose(found, reference.transform(test.double().numpy()), rtol=1e-5)


def test_whitened_columns_have_the_identity_as_covariance() -> None:
    mixed = X @ torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    white = Scale.fit(mixed, "whiten")(mixed).double().numpy()
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(5), atol=1e-3)
    scale = Scale.fit(mixed, "whiten")
    np.testing.assert_allclose(scale.factor, scale.factor.T, atol=1e-9)


def test_a_direction_without_variance_is_left_out_of_whitening() -> None:
    double = torch.cat([X, X[:, :1]], 1)
    white = Scale.fit(double, "whiten")(double)
    assert torch.isfinite(white).all()
    assert np.linalg.matrix_rank(np.cov(white.double().numpy().T), tol=1e-3) == 5


def test_an_example_is_scaled_by_itself() -> None:
    alone = Scale.fit(X, "sample")(X)
    rows = X.double()
    wanted = (rows - rows.mean(1, keepdim=True)) / rows.std(1, correction=0, keepdim=True)
    np.testing.assert_allclose(alone, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 3, 7), (40, 3, 4, 5)])
@pytest.mark.parametrize("method", ["standard", "unit", "robust"])
def test_series_and_fields_are_scaled_by_channel(shape: tuple[int, ...], method) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
    x[:, 1] = 5 + 100 * x[:, 1]
    found = Scale.fit(x, method)(x)
    for channel in range(3):
        column = x[:, channel].reshape(-1, 1)
        wanted = Scale.fit(column, method)(column)
        np.testing.assert_allclose(found[:, channel].reshape(-1, 1), wanted, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_scales_to_the_same_bits(method) -> None:
    scale = Scale.fit(X[:100], method)
    again = Scale.from_dict(json.loads(json.dumps(scale.as_dict())))
    assert torch.equal(again(X), scale(X))
    if method != "sample":
        torch.testing.assert_close(scale.undone(scale(X)), X, rtol=1e-4, atol=1e-4)
    constant = torch.full((9, 5), 3.0)
    assert torch.isfinite(Scale.fit(constant, method)(constant)).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="was fitted to 5 columns"):
        Scale.fit(X, "standard")(X[:, :3])
    with pytest.raises(UserError, match="is for counts"):
        Scale.fit(X, "log1p")(-X)
    with pytest.raises(UserError, match="scale=whiten: is for vectors"):
        Scale.fit(X.view(200, 5, 1), "whiten")
