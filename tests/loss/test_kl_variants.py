"""KL with a capacity and with free bits against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from aetl.loss.capacity_kl import CapacityKL
from aetl.loss.free_bits_kl import FreeBitsKL
from aetl.loss.ladder_kl import LadderKL
from aetl.loss.top_kl import TopKL
from tests.loss.draw import normal


def each_kl(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return kl_divergence(Normal(mean, (0.5 * logvar).exp()), prior)


def test_capacity_kl_is_the_distance_from_a_capacity_that_rises_and_stays() -> None:
    mean, logvar = normal(5, 4), normal(5, 4, seed=1)
    term = CapacityKL(weight=1.0, capacity=6.0, fraction=0.5)
    for progress, capacity in ((0.0, 0.0), (0.25, 3.0), (0.5, 6.0), (1.0, 6.0)):
        reference = (each_kl(mean, logvar).sum(1) - capacity).abs()
        torch.testing.assert_close(term(mean, logvar, progress), reference, rtol=1e-10, atol=1e-12)


def test_mean_of_free_bits_is_the_papers_maximum_for_each_latent() -> None:
    mean, logvar = normal(9, 6), normal(9, 6, seed=1)
    each = each_kl(mean, logvar)
    free = float(each.mean(0).median()) + 1e-3  # some latents above, some below
    reference = each.mean(0).clamp(min=free).sum()
    value = FreeBitsKL(weight=1.0, free=free)(mean, logvar)
    torch.testing.assert_close(value.mean(), reference, rtol=1e-10, atol=0)


def test_a_latent_within_its_free_bits_has_no_gradient() -> None:
    mean = torch.tensor([[0.1, 3.0], [-0.1, 2.0]], requires_grad=True)
    FreeBitsKL(weight=1.0, free=0.5)(mean, torch.zeros(2, 2)).sum().backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == [[0.0, 3.0], [0.0, 2.0]]


def test_the_kl_of_a_ladders_top_is_that_of_the_standard_normal() -> None:
    mean, logvar = 2.0 + normal(7, 3), normal(7, 3, seed=1)
    torch.testing.assert_close(TopKL(weight=1.0)(mean, logvar), each_kl(mean, logvar).sum(1))


def test_the_kl_of_a_ladders_lower_layer_is_that_of_two_normals() -> None:
    mean, logvar, down, spread = (normal(7, 3, seed=seed) for seed in range(4))
    reference = kl_divergence(
        Normal(mean, (0.5 * logvar).exp()), Normal(down, (0.5 * spread).exp())
    ).sum(1)
    torch.testing.assert_close(LadderKL(weight=1.0)(mean, logvar, down, spread), reference)
