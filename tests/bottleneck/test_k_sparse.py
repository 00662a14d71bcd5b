"""The k-sparse code against a sort by hand."""

from __future__ import annotations

import pytest
import torch

from aetl.bottleneck.k_sparse import KSparse
from aetl.types import UserError


def test_exactly_the_largest_elements_survive_unchanged() -> None:
    bottleneck = KSparse((5,), latent_dim=8, k=2, eval_k=5).double()
    h = torch.randn(6, 5, dtype=torch.float64)
    dense = bottleneck.project(h)
    for training, k in ((True, 2), (False, 5)):
        bottleneck.train(training)
        z = bottleneck(h, None).latent
        for row, full in zip(z, dense, strict=True):
            largest = sorted(full.tolist())[-k:]
            assert sorted(row[row != 0].tolist()) == largest
            assert all(r in (0.0, f) for r, f in zip(row.tolist(), full.tolist(), strict=True))


def test_only_the_kept_units_get_a_gradient() -> None:
    bottleneck = KSparse((5,), latent_dim=8, k=1, eval_k=1)
    z = bottleneck(torch.ones(1, 5), None).latent
    z.sum().backward()
    bias = bottleneck.project[1].bias.grad
    assert bias is not None
    torch.testing.assert_close(bias, (z[0] != 0).float())


def test_more_units_than_there_are_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"bottleneck\.k=9: must be 1 to latent_dim=8"):
        KSparse((5,), latent_dim=8, k=9, eval_k=8)
