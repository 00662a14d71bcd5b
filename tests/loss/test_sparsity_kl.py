"""The KL penalty on mean activations against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Bernoulli, kl_divergence

from aetl.loss.sparsity_kl import SparsityKL
from tests.loss.draw import normal


def test_it_is_the_kl_of_bernoullis_with_the_target_and_the_batch_mean() -> None:
    z = torch.sigmoid(normal(6, 4))
    target = torch.full((4,), 0.05, dtype=torch.float64)
    reference = kl_divergence(Bernoulli(target), Bernoulli(z.mean(0))).sum()
    value = SparsityKL(weight=1.0, target=0.05)(z)
    torch.testing.assert_close(value, reference.expand(6), rtol=1e-12, atol=0)


def test_it_vanishes_where_every_unit_is_active_as_often_as_wanted() -> None:
    z = torch.tensor([[0.1, 0.3], [0.3, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(SparsityKL(weight=1.0, target=0.2)(z), z.new_zeros(2))


def test_a_dead_unit_gives_a_finite_gradient() -> None:
    z = torch.zeros(3, 2, requires_grad=True)
    SparsityKL(weight=1.0, target=0.05)(z).sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
