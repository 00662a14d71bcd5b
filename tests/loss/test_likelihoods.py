"""The likelihoods against torch.distributions, and against integrals that must be 1."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Multinomial as MultinomialDistribution
from torch.distributions import Normal

from aetl.loss.continuous_bernoulli import ContinuousBernoulli
from aetl.loss.gaussian import Gaussian
from aetl.loss.laplace import Laplace
from aetl.loss.multinomial import Multinomial
from tests.loss.draw import normal


def test_continuous_bernoulli_is_that_of_torch_distributions() -> None:
    logits, x = 3.0 * normal(4, 1, 3, 3), torch.sigmoid(normal(4, 1, 3, 3, seed=1))
    reference = ContinuousBernoulliDistribution(logits=logits)
    term = ContinuousBernoulli(weight=1.0)
    expected = -reference.log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(term(logits, x), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(term.mean(logits), reference.mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [-700.0, -30.0, -0.11, -0.09, -1e-9, 0.0, 1e-5, 0.0999, 5.0, 400.0])
def test_continuous_bernoulli_integrates_to_one_and_has_its_mean(eta: float) -> None:
    """Gauss-Legendre on [0, 1], split where the density is steep."""
    nodes, weights = _quadrature()
    logits = torch.full((len(nodes), 1), eta, dtype=torch.float64, requires_grad=True)
    term = ContinuousBernoulli(weight=1.0)
    value = term(logits, nodes[:, None])
    density = torch.exp(-value)
    assert float((weights * density).sum().detach()) == pytest.approx(1.0, rel=1e-9)
    mean = float((weights * density * nodes).sum().detach())
    assert float(term.mean(logits)[0].detach()) == pytest.approx(mean, rel=1e-8)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradient, term.mean(logits) - nodes[:, None], rtol=1e-7, atol=1e-9)


def _quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    at, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(40))
    low = [0.0, *(2.0**-k for k in range(12, 0, -1))]
    edges = sorted({*low, *(1.0 - e for e in low), 1.0})
    pairs = list(pairwise(edges))
    nodes = torch.cat([(a + b) / 2 + (b - a) / 2 * at for a, b in pairs])
    return nodes, torch.cat([(b - a) / 2 * weight for a, b in pairs])


def test_gaussian_is_the_negative_log_density() -> None:
    r, x = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    reference = -Normal(r, torch.tensor(0.3, dtype=torch.float64)).log_prob(x).flatten(1).sum(1)
    value = Gaussian(weight=1.0, sigma=0.3, learned=False).double()(r, x)
    torch.testing.assert_close(value, reference, rtol=1e-6, atol=0)


def test_a_learned_sigma_ends_at_the_root_mean_square_error() -> None:
    r, x = normal(50, 4), normal(50, 4, seed=1)
    term = Gaussian(weight=1.0, sigma=0.3, learned=True).double()
    optimizer = torch.optim.LBFGS(
        term.parameters(), max_iter=100, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = term(r, x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = (r - x).square().mean().sqrt()
    torch.testing.assert_close(term.log_sigma.exp().detach(), expected, rtol=1e-5, atol=0)
    fixed = Gaussian(weight=1.0, sigma=0.3, learned=False)
    assert not any(p.requires_grad for p in fixed.parameters())


def test_laplace_is_the_negative_log_density() -> None:
    r, x = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    reference = -LaplaceDistribution(r, 0.2).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(Laplace(weight=1.0, scale=0.2)(r, x), reference, rtol=1e-10, atol=0)


def test_multinomial_is_the_negative_log_probability_of_the_counts() -> None:
    logits = normal(3, 2, 4)
    x = torch.randint(0, 5, (3, 2, 4), generator=torch.Generator().manual_seed(0)).double()
    rows = zip(logits, x, strict=True)
    reference = torch.stack(
        [
            -MultinomialDistribution(int(n.sum()), logits=z.flatten()).log_prob(n.flatten())
            for z, n in rows
        ]
    )
    term = Multinomial(weight=1.0)
    torch.testing.assert_close(term(logits, x), reference, rtol=1e-10, atol=0)
    shares = torch.softmax(logits.flatten(1), 1)
    torch.testing.assert_close(term.mean(logits).flatten(1), shares)
