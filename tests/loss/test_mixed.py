"""Mixed losses of tables against scikit-learn, and what is missing counts nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from aetl.data.table import entries_of
from aetl.loss.mixed import MixedError
from aetl.loss.objective import Objective
from aetl.types import Entries

TABLE = Entries(categories=((1, 4), (5, 6)), marks=((4, 5),))


def drawn(number: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number, 6))
    x[:, 1:4] = np.eye(3)[rng.integers(0, 3, number)]
    x[:, 5] = rng.integers(0, 2, number)
    return torch.from_numpy(rng.normal(size=(number, 6))), torch.from_numpy(x)


def test_numbers_have_squared_errors_and_categories_cross_entropies() -> None:
    r, x = drawn()
    found = MixedError(TABLE, weight=1.0, categories=0.5)(r, x)
    said, true = r.numpy(), x.numpy()
    for k in range(len(x)):
        squared = (said[k, 0] - true[k, 0]) ** 2 + (said[k, 4] - true[k, 4]) ** 2
        nats = log_loss([true[k, 1:4].argmax()], softmax(said[k : k + 1, 1:4], 1), labels=[0, 1, 2])
        nats += log_loss([true[k, 5]], [expit(said[k, 5])], labels=[0, 1])
        assert found[k].item() == pytest.approx(squared + 0.5 * nats, rel=1e-12)
    mean = MixedError(TABLE, weight=1.0, categories=0.5).mean(r)
    np.testing.assert_allclose(mean[:, 1:4], softmax(said[:, 1:4], 1))
    np.testing.assert_allclose(mean[:, 5], expit(said[:, 5]))
    np.testing.assert_allclose(mean[:, [0, 4]], said[:, [0, 4]])


def test_without_categories_it_is_the_squared_error() -> None:
    r, x = drawn()
    found = MixedError(Entries(), weight=1.0, categories=1.0)(r, x)
    torch.testing.assert_close(found, (r - x).square().sum(1))


def test_what_was_missing_has_no_gradient() -> None:
    r, x = drawn()
    x[0, 5], x[1, 1:4] = 1.0, torch.tensor([0.0, 0.0, 1.0])
    x[1, 5] = 0.0
    r.requires_grad_()
    objective = Objective({"reconstruction": MixedError(TABLE, weight=1.0, categories=1.0)})
    fields = {"x": x, "reconstruction": r, "mask": TABLE.present(x)}
    objective(fields, 1.0)[0].sum().backward()
    assert r.grad is not None
    assert r.grad[0, 4] == 0  # its mark says that nobody knows it
    assert r.grad[0, 5] != 0
    assert r.grad[1, 1:4].abs().max() < 1e-12
    assert r.grad[1, 4] != 0


def test_the_columns_are_those_of_the_table() -> None:
    fitted = [
        {"name": "age", "type": "number", "missing": True},
        {"name": "colour", "type": "category", "categories": ["blue", "red"]},
        {"name": "dose", "type": "number", "missing": False},
    ]
    assert entries_of(fitted) == Entries(((1, 2), (2, 5)), ((0, 1),))
    assert Entries.from_dict(entries_of(fitted).as_dict()) == entries_of(fitted)
