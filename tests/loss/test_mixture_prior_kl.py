"""The KL from a mixture prior against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aetl.loss.kl import StandardNormalKL
from aetl.loss.mixture_prior_kl import MixturePriorKL
from tests.loss.draw import normal


def test_it_is_the_difference_of_log_densities_of_torch_distributions() -> None:
    z, mean, logvar = (normal(5, 3, seed=i) for i in range(3))
    prior_mean, prior_logvar = normal(4, 3, seed=3), normal(4, 3, seed=4)
    components = Independent(Normal(prior_mean, (0.5 * prior_logvar).exp()), 1)
    prior = MixtureSameFamily(Categorical(torch.ones(4).double()), components)
    posterior = Independent(Normal(mean, (0.5 * logvar).exp()), 1)
    value = MixturePriorKL(weight=1.0)(z, mean, logvar, prior_mean, prior_logvar)
    expected = posterior.log_prob(z) - prior.log_prob(z)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_with_the_standard_normal_as_its_only_component_its_mean_is_the_closed_form() -> None:
    mean, logvar = normal(3, 2), normal(3, 2, seed=1)
    zero = torch.zeros(1, 2, dtype=torch.float64)
    noise = normal(40_000, 3, 2, seed=2)
    z = mean + (0.5 * logvar).exp() * noise
    flat = [v.expand(40_000, 3, 2).flatten(0, 1) for v in (mean, logvar)]
    value = MixturePriorKL(weight=1.0)(z.flatten(0, 1), *flat, zero, zero)
    expected = StandardNormalKL(weight=1.0)(mean, logvar)
    torch.testing.assert_close(value.view(40_000, 3).mean(0), expected, rtol=0.02, atol=0.01)
