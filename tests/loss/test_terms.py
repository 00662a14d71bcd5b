"""Every loss term against an independent route in float64."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Normal, kl_divergence

from aetl.loss.base import LossTerm
from aetl.loss.bernoulli import Bernoulli
from aetl.loss.kl import StandardNormalKL
from aetl.loss.l1_code import L1Code
from aetl.loss.mse import SquaredError
from aetl.loss.objective import Objective, needed_fields, refuse_misfit
from aetl.loss.weight import Cyclic, WarmUp
from aetl.types import UserError


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_squared_error_is_the_sum_over_every_element_of_an_example() -> None:
    a, b = normal(3, 2, 5, 4), normal(3, 2, 5, 4, seed=1)
    by_hand = torch.stack(
        [
            sum((p - q) ** 2 for p, q in zip(u.flatten(), v.flatten(), strict=True))
            for u, v in zip(a, b, strict=True)
        ]
    )
    torch.testing.assert_close(SquaredError(weight=1.0)(a, b), by_hand, rtol=1e-12, atol=0)


def test_bernoulli_is_the_negative_log_likelihood_in_nats() -> None:
    logits, x = normal(4, 1, 3, 3), (normal(4, 1, 3, 3, seed=1) > 0).double()
    reference = -BernoulliDistribution(logits=logits).log_prob(x).flatten(1).sum(1)
    term = Bernoulli(weight=1.0)
    torch.testing.assert_close(term(logits, x), reference, rtol=1e-12, atol=0)
    torch.testing.assert_close(term.mean(logits), BernoulliDistribution(logits=logits).mean)


def test_kl_equals_that_of_torch_distributions() -> None:
    mean, logvar = normal(5, 7), normal(5, 7, seed=1)
    posterior = Normal(mean, (0.5 * logvar).exp())
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    reference = kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(
        StandardNormalKL(weight=1.0)(mean, logvar), reference, rtol=1e-12, atol=1e-12
    )


def test_kl_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    term = StandardNormalKL(weight=1.0)
    zero = torch.zeros(2, 3)
    assert term(zero, zero).abs().max() == 0
    assert (term(normal(50, 3), normal(50, 3, seed=1)) > 0).all()


def test_l1_is_the_sum_of_magnitudes() -> None:
    z = torch.tensor([[1.0, -2.0], [0.0, 0.5]])
    assert L1Code(weight=1.0)(z).tolist() == [3.0, 0.5]


def test_objective_weighs_terms_by_their_schedules() -> None:
    terms: dict[str, LossTerm] = {
        "reconstruction": SquaredError(weight=2.0),
        "l1": L1Code(weight=WarmUp(final=4.0, fraction=0.5)),
    }
    x, r, z = normal(3, 4), normal(3, 4, seed=1), normal(3, 2, seed=2)
    for progress, weight in ((0.0, 0.0), (0.25, 2.0), (0.5, 4.0), (1.0, 4.0)):
        total, values = Objective(terms)({"x": x, "reconstruction": r, "latent": z}, progress)
        expected = 2.0 * (x - r).square().sum(1) + weight * z.abs().sum(1)
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(values["l1"], z.abs().sum(1))


def test_cyclic_weight_rises_in_every_cycle() -> None:
    weight = Cyclic(final=1.0, cycles=2, rise=0.5)
    assert [weight.at(p) for p in (0.0, 0.125, 0.25, 0.4, 0.5, 0.625, 1.0)] == [
        0,
        0.5,
        1,
        1,
        0,
        0.5,
        1,
    ]


def test_a_term_that_cannot_be_fed_is_refused_by_name() -> None:
    assert needed_fields(StandardNormalKL) == ["mean", "logvar"]
    with pytest.raises(UserError, match=r"loss\.kl .* needs mean, logvar.*autoencoder=plain"):
        refuse_misfit({"kl": StandardNormalKL}, {"x", "reconstruction", "latent"}, "plain")
