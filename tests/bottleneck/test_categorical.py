"""Gumbel-softmax samples and the categorical KL against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Categorical as CategoricalDistribution
from torch.distributions import RelaxedOneHotCategorical, kl_divergence

from aetl.bottleneck.categorical import Categorical
from aetl.loss.categorical_kl import CategoricalKL
from aetl.rng import Rng


def bottleneck(temperature: float, hard: bool = False) -> Categorical:
    torch.manual_seed(0)
    return Categorical((3,), variables=2, classes=4, temperature=temperature, hard=hard).double()


def test_samples_have_the_frequencies_and_the_mean_of_the_relaxed_distribution() -> None:
    h = 2.0 * torch.ones(20_000, 3, dtype=torch.float64)
    code = bottleneck(0.67)(h, Rng.of(0))
    z = code.latent.view(-1, 2, 4)
    torch.testing.assert_close(z.sum(2), torch.ones_like(z[..., 0]))
    frequencies = torch.nn.functional.one_hot(z.argmax(2), 4).double().mean(0)
    logits = code.logits[0].detach()
    assert (frequencies - torch.softmax(logits, 1)).abs().max() < 0.015
    relaxed = RelaxedOneHotCategorical(torch.tensor(0.67).double(), logits=logits)
    assert (z.mean(0) - relaxed.sample((20_000,)).mean(0)).abs().max() < 0.015


def test_hard_samples_are_one_hot_with_the_gradient_of_the_soft_ones() -> None:
    h = torch.randn(5, 3, dtype=torch.float64)
    pick = torch.randn(5, 8, dtype=torch.float64)
    gradients = []
    for hard in (True, False):
        module = bottleneck(0.5, hard)
        z = module(h, Rng.of(1)).latent
        gradients.append(torch.autograd.grad((z * pick).sum(), list(module.parameters())))
        if hard:
            sums = z.view(5, 2, 4).detach()
            torch.testing.assert_close(sums.amax(2), torch.ones_like(sums[..., 0]))
            torch.testing.assert_close(sums.sum(2), torch.ones_like(sums[..., 0]))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_without_noise_the_code_is_the_probabilities() -> None:
    code = bottleneck(0.5)(torch.randn(5, 3, dtype=torch.float64), None)
    torch.testing.assert_close(code.latent.view(5, 2, 4), torch.softmax(code.logits, 2))


def test_kl_is_that_from_uniform_classes() -> None:
    logits = torch.randn(5, 3, 4, dtype=torch.float64)
    uniform = CategoricalDistribution(logits=torch.zeros_like(logits))
    reference = kl_divergence(CategoricalDistribution(logits=logits), uniform).sum(1)
    torch.testing.assert_close(CategoricalKL(weight=1.0)(logits), reference, rtol=1e-10, atol=0)
