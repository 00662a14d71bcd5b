"""Swapped cells: whose value they take, how often, and which columns go together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, kstest

from aetl.corruption.swap import Swap
from aetl.rng import Rng
from aetl.types import Entries

TABLE = Entries(categories=((2, 5), (6, 7)), marks=((5, 6),))
"""Two numbers, a category of three columns, a number and the mark of where it was missing."""


def rows(number: int) -> torch.Tensor:
    """No two rows have a number in common; category and mark follow from the row."""
    code = torch.arange(number)
    one_hot = torch.nn.functional.one_hot(code % 3, 3).float()
    missing = (code % 4 == 0).float()
    last = torch.where(missing == 1, 0.0, 1000.0 + code)
    parts = [code[:, None] + 0.25, code[:, None] + 0.5, one_hot, last[:, None], missing[:, None]]
    return torch.cat(parts, 1)


def test_cells_take_values_of_other_rows_and_their_columns_go_together() -> None:
    x = rows(200)
    found = Swap(TABLE, fraction=1.0)(x, Rng.of(0))
    own = torch.arange(200)
    donors = [(found[:, 0] - 0.25).long(), (found[:, 1] - 0.5).long()]
    for donor in donors:
        assert not (donor == own).any()
        assert torch.isin(donor, own).all()
    assert (donors[0] != donors[1]).float().mean() > 0.9  # each cell from a row of its own
    assert (found[:, 2:5].sum(1) == 1).all()
    assert ((found[:, 5] == 0) == (found[:, 6] == 1)).all()


def test_each_row_is_as_likely_as_every_other_and_cells_are_chosen_with_the_probability() -> None:
    x = rows(400)
    found = Swap(TABLE, fraction=0.3)(x, Rng.of(1))
    changed = (found != x)[:, :2]
    assert binomtest(int(changed.sum()), changed.numel(), 0.3).pvalue > 0.001
    step = ((found[:, 0] - x[:, 0])[changed[:, 0]].long() - 1) % 400
    assert kstest((step.numpy() + 0.5) / 399, "uniform").pvalue > 0.001
    assert step.max() <= 398


def test_columns_keep_their_means_and_lose_what_ties_them() -> None:
    """Brute force: the covariance of what is swapped whole is that of independent columns."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    x = torch.from_numpy(np.stack([z, z + 0.1 * rng.normal(size=4000)], 1))
    found = Swap(Entries(), fraction=1.0)(x, Rng.of(2))
    assert torch.allclose(found.mean(0), x.mean(0), atol=0.06)
    assert torch.allclose(found.std(0), x.std(0), atol=0.05)
    assert np.corrcoef(x.T.numpy())[0, 1] > 0.99
    assert abs(np.corrcoef(found.T.numpy())[0, 1]) < 0.06


@pytest.mark.parametrize("number", [0, 1])
def test_without_another_row_nothing_is_swapped(number: int) -> None:
    x = rows(2)[:number]
    assert torch.equal(Swap(TABLE, fraction=1.0)(x, Rng.of(0)), x)
