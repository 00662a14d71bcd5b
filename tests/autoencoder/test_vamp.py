"""The prior of a VampPrior VAE is made of its own posteriors."""

from __future__ import annotations

import torch

from aetl.autoencoder.vamp import Vamp
from aetl.bottleneck.normal import Normal
from aetl.corruption.none import NoCorruption
from aetl.loss.mixture_prior_kl import MixturePriorKL
from aetl.rng import Rng
from tests.backbones import mlp


def vamp() -> Vamp:
    torch.manual_seed(0)
    return Vamp(
        (1, 3, 4),
        pseudo_inputs=5,
        corruption=NoCorruption(),
        backbone=mlp(6),
        bottleneck=lambda h: Normal(h, latent_dim=2),
    ).double()


def test_components_are_the_posteriors_of_the_pseudo_inputs() -> None:
    model = vamp()
    output = model(torch.rand(7, 1, 3, 4, dtype=torch.float64), Rng.of(0))
    as_data = model(torch.sigmoid(model.pseudo_logits))
    torch.testing.assert_close(output.prior_mean, as_data.code.mean)
    torch.testing.assert_close(output.prior_logvar, as_data.code.logvar)


def test_the_kl_vanishes_when_the_data_are_the_only_pseudo_input() -> None:
    model = vamp()
    x = torch.rand(1, 1, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        model.pseudo_logits.copy_(torch.logit(x).expand(5, -1, -1, -1))
    output = model(x, Rng.of(0))
    value = MixturePriorKL(weight=1.0)(
        output.latent, output.code.mean, output.code.logvar, output.prior_mean, output.prior_logvar
    )
    torch.testing.assert_close(value, torch.zeros_like(value))


def test_the_prior_is_learned() -> None:
    model = vamp()
    output = model(torch.rand(7, 1, 3, 4, dtype=torch.float64), Rng.of(0))
    value = MixturePriorKL(weight=1.0)(
        output.latent, output.code.mean, output.code.logvar, output.prior_mean, output.prior_logvar
    )
    value.sum().backward()
    assert model.pseudo_logits.grad is not None
    assert (model.pseudo_logits.grad.flatten(1).abs().amax(1) > 0).all()
