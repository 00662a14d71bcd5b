"""The Gaussian posterior: its samples follow the mean and the variance that it gives."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Normal as NormalDistribution

from aetl.bottleneck.normal import Normal
from aetl.rng import Rng


@pytest.fixture
def bottleneck() -> Normal:
    torch.manual_seed(0)
    return Normal((5,), latent_dim=3).double()


def test_samples_have_the_mean_and_the_variance_of_the_code(bottleneck: Normal) -> None:
    h = torch.randn(1, 5, dtype=torch.float64).expand(40000, 5)
    code = bottleneck(h, Rng.of(0))
    sample = code.latent.detach()
    mean, std = code.mean[0].detach(), (0.5 * code.logvar[0]).exp().detach()
    assert (sample.mean(0) - mean).abs().max() < 4 * std.max() / 200  # four standard errors
    torch.testing.assert_close(sample.std(0), std, rtol=0.02, atol=0)
    for z in range(3):
        standard = NormalDistribution(mean[z], std[z]).cdf(sample[:, z])
        assert kstest(standard.numpy(), "uniform").pvalue > 0.001


def test_latents_are_independent_of_each_other_and_over_examples(bottleneck: Normal) -> None:
    h = torch.zeros(40000, 5, dtype=torch.float64)
    sample = bottleneck(h, Rng.of(0)).latent.detach()
    correlation = torch.corrcoef(sample.T)
    assert (correlation - torch.eye(3)).abs().max() < 4 / 200
    assert torch.corrcoef(torch.stack([sample[:-1, 0], sample[1:, 0]]))[0, 1].abs() < 4 / 200


def test_without_randomness_the_code_is_the_mean(bottleneck: Normal) -> None:
    code = bottleneck(torch.randn(4, 5, dtype=torch.float64), None)
    assert torch.equal(code.latent, code.mean)


def test_a_sample_is_differentiable_in_both_parameters(bottleneck: Normal) -> None:
    """Reparametrised: the derivative by the log-variance is half of the deviation."""
    h = torch.randn(4, 5, dtype=torch.float64)
    code = bottleneck(h, Rng.of(0))
    by_mean, by_logvar = torch.autograd.grad(code.latent.sum(), [code.mean, code.logvar])
    assert torch.equal(by_mean, torch.ones_like(by_mean))
    torch.testing.assert_close(by_logvar, 0.5 * (code.latent - code.mean).detach())


def test_log_variance_is_bounded(bottleneck: Normal) -> None:
    with torch.no_grad():
        bottleneck.logvar[1].bias += torch.tensor([1e6, -1e6, 0.0])
    logvar = bottleneck(torch.zeros(2, 5, dtype=torch.float64), Rng.of(0)).logvar
    assert logvar[0, 0] == 10.0
    assert logvar[0, 1] == -10.0
    assert -10.0 < logvar[0, 2] < 10.0


def test_feature_maps_are_flattened() -> None:
    code = Normal((2, 3, 4), latent_dim=5)(torch.randn(6, 2, 3, 4), None)
    assert code.mean.shape == code.logvar.shape == (6, 5)
