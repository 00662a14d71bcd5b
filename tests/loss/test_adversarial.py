"""Discriminators against the densities that they should find, and the losses by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn

from aetl.backbone.conv import Conv
from aetl.backbone.mlp import MLP
from aetl.loss.adversarial import Adversarial
from aetl.loss.adversarial_prior import AdversarialPrior
from aetl.loss.adversarial_tc import AdversarialTC, permuted
from aetl.loss.learned_similarity import LearnedSimilarity
from aetl.loss.objective import needed_fields
from aetl.rng import Rng
from tests.loss.draw import normal, small_autoencoder


def with_discriminator(term: Adversarial, shape: tuple[int, ...], latent: int) -> Adversarial:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        term.discriminator = term.build(shape, (latent,)).double()
    return term


def train(term: Adversarial, loss: Callable[[int], Tensor], steps: int) -> None:
    optimizer = torch.optim.Adam(term.discriminator.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).mean().backward()
        optimizer.step()
        schedule.step()


def test_a_trained_discriminator_finds_the_total_correlation_of_gaussians() -> None:
    """``-1/2 log det R`` for a correlation matrix ``R``: 0.59 nats here; none for independent."""
    correlation = torch.tensor([[1.0, 0.8, 0.3], [0.8, 1.0, 0.1], [0.3, 0.1, 1.0]]).double()
    known = -0.5 * float(torch.logdet(correlation))
    assert 0.5 < known < 0.8
    dependent = torch.linalg.cholesky(correlation)
    assert estimated_tc(dependent) == pytest.approx(known, abs=0.08)
    assert estimated_tc(torch.eye(3).double()) == pytest.approx(0.0, abs=0.08)


def estimated_tc(root: Tensor) -> float:
    """The term's mean over latents ``root e`` that its discriminator has not seen."""
    term = AdversarialTC(weight=1.0, lr_scale=1.0, hidden=[32, 32])
    with_discriminator(term, (3,), 3)

    def latents(seed: int, number: int = 512) -> Tensor:
        return normal(number, 3, seed=seed) @ root.T

    train(term, lambda i: term.adversary_loss(latents(i), Rng.of(i)), 500)
    with torch.no_grad():
        return float(term(latents(999, 20_000)).mean())


def test_permuting_keeps_each_dimension_and_breaks_their_dependence() -> None:
    column = normal(2000, 1)
    z = torch.cat([column, column, normal(2000, 1, seed=1)], 1)
    shuffled = permuted(z, Rng.of(0))
    assert torch.equal(shuffled.sort(0).values, z.sort(0).values)
    assert abs(np.corrcoef(shuffled[:, 0], shuffled[:, 1])[0, 1]) < 0.1
    assert torch.equal(permuted(z, Rng.of(0)), shuffled)


def test_total_correlation_is_the_logit_and_its_adversary_a_fair_cross_entropy() -> None:
    term = with_discriminator(AdversarialTC(weight=1.0, lr_scale=1.0, hidden=[4]), (2,), 2)
    z = normal(6, 2)
    probability = torch.sigmoid(term.discriminator(z))
    torch.testing.assert_close(term(z), torch.log(probability / (1 - probability)))
    other = torch.sigmoid(term.discriminator(permuted(z, Rng.of(0).fork("permutation"))))
    by_hand = -0.5 * (torch.log(probability) + torch.log(1 - other))
    torch.testing.assert_close(term.adversary_loss(z, Rng.of(0)), by_hand)


def test_the_best_discriminator_of_codes_reaches_the_jensen_shannon_divergence() -> None:
    """Its loss is ``log 2 - JS(codes, prior)`` (Goodfellow et al., 2014, theorem 1)."""
    codes, prior = stats.norm(1.5, 0.6), stats.norm(0.0, 1.0)

    def integrand(z: float) -> float:
        p, q = prior.pdf(z), codes.pdf(z)
        m = 0.5 * (p + q)
        return float(0.5 * (p * math.log(p / m) + q * math.log(q / m)))

    divergence, _ = integrate.quad(integrand, -7, 7)
    term = AdversarialPrior(weight=1.0, lr_scale=1.0, hidden=[16, 16])
    with_discriminator(term, (1,), 1)

    def latents(seed: int, number: int = 512) -> Tensor:
        return 1.5 + 0.6 * normal(number, 1, seed=seed)

    train(term, lambda i: term.adversary_loss(latents(i), Rng.of(i)), 400)
    with torch.no_grad():
        found = float(term.adversary_loss(latents(999, 40_000), Rng.of(999)).mean())
    assert found == pytest.approx(math.log(2) - divergence, abs=0.015)
    # And its logit is the log ratio of the densities, which is what the encoder follows.
    at = torch.tensor([[0.0], [1.0], [2.0]]).double()
    ratio = prior.logpdf(at[:, 0]) - codes.logpdf(at[:, 0])
    np.testing.assert_allclose(term.discriminator(at).detach(), ratio, atol=0.35)
    torch.testing.assert_close(term(at), -nn.functional.logsigmoid(term.discriminator(at)))


def similarity(shape: tuple[int, ...], link: str = "identity", gan: float = 0.3) -> Adversarial:
    same: Any = {"activation": "tanh", "norm": "none", "dropout": 0.0, "tied": False}
    backbone = (
        Conv(channels=[4, 6], kernel_size=3, spectral_norm="none", **same)
        if len(shape) == 3
        else MLP(hidden=[6], spectral_norm="none", **same)
    )
    term = LearnedSimilarity(weight=1.0, lr_scale=1.0, gan_weight=gan, link=link, backbone=backbone)
    return with_discriminator(term, shape, 3)


@pytest.mark.parametrize("shape", [(5,), (2, 5, 4)])
def test_learned_similarity_by_hand(shape: tuple[int, ...]) -> None:
    term, model, x = similarity(shape), small_autoencoder(*shape), torch.rand(4, *shape).double()
    rng, output = Rng.of(0), model(x)
    z = output.latent
    features, logit = term.discriminator
    sample = rng.fork("prior").normal(z)
    d = {
        name: torch.sigmoid(logit(features(image)))
        for name, image in (("x", x), ("made", model.decode(z)), ("drawn", model.decode(sample)))
    }
    # -log N(D_l(x); D_l(x'), I), less its constant
    likelihood = torch.distributions.Normal(features(output.reconstruction), 1.0)
    constant = 0.5 * math.log(2 * math.pi)
    error = (-likelihood.log_prob(features(x)) - constant).flatten(1).sum(1)
    value = term(x, output.reconstruction, z, model, rng)
    fooled = -0.5 * (torch.log(d["made"]) + torch.log(d["drawn"]))
    torch.testing.assert_close(value, error + 0.3 * fooled)
    told = torch.log(d["x"]) + 0.5 * (torch.log(1 - d["made"]) + torch.log(1 - d["drawn"]))
    torch.testing.assert_close(term.adversary_loss(x, z, model, rng), -0.5 * told)


def test_the_encoder_is_not_to_fool_the_discriminator() -> None:
    """Its gradient is that of the error between features alone; the decoder's is not."""
    model, x = small_autoencoder(5), torch.rand(4, 5).double()
    parts = {}
    for gan in (0.0, 10.0):
        term, output = similarity((5,), gan=gan), model(x)
        loss = term(x, output.reconstruction, output.latent, model, Rng.of(0)).sum()
        for part in ("encoder", "decoder"):
            first = next(model.get_submodule(part).parameters())
            (parts[part, gan],) = torch.autograd.grad(loss, first, retain_graph=True)
    torch.testing.assert_close(parts["encoder", 0.0], parts["encoder", 10.0])
    assert (parts["decoder", 0.0] - parts["decoder", 10.0]).abs().max() > 1e-3


def test_the_link_maps_raw_outputs_to_the_data() -> None:
    raw = normal(3, 5)
    torch.testing.assert_close(similarity((5,), "sigmoid").mean(raw), 1 / (1 + torch.exp(-raw)))
    assert torch.equal(similarity((5,), "identity").mean(raw), raw)


def test_a_term_asks_for_what_either_of_its_losses_needs() -> None:
    assert needed_fields(AdversarialPrior) == ["latent", "rng"]
    assert needed_fields(AdversarialTC) == ["latent", "rng"]
