"""Adversarial alignment: the gradients of each side, and what the discriminator sees."""

from __future__ import annotations

from math import exp, tanh

import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from aetl.config import ConfigError, check, compose, resolved
from aetl.task.classification import Classification
from aetl.transfer.feature.cdan import Cdan, certainty, conditioned
from aetl.transfer.feature.dann import Dann, reversal
from tests.transfer.build import normal, small_network, step, view

pytestmark = pytest.mark.usefixtures("float64")


def test_loss_is_the_balanced_cross_entropy_of_the_domain() -> None:
    at = step(small_network(), source=normal(6, 1, 4, 4), target=normal(4, 1, 4, 4, seed=1))
    strategy = Dann(weight=2.0, gamma=10.0, hidden=7)
    module = strategy.module(at.network, Classification(), view(at.network))
    logits = torch.cat([module(at.streams[name].features) for name in ("source", "target")])
    probability = torch.sigmoid(logits).squeeze(1).detach().numpy()
    labels = [1] * 6 + [0] * 4
    balanced = [1 / 12] * 6 + [1 / 8] * 4
    expected = 2.0 * log_loss(labels, probability, sample_weight=balanced)
    assert float(strategy.penalty(at, module).detach()) == pytest.approx(expected, rel=1e-12)


def test_gradient_is_reversed_below_the_discriminator_and_plain_inside() -> None:
    strategy = Dann(weight=1.0, gamma=10.0, hidden=7)
    network = small_network()
    module = strategy.module(network, Classification(), view(network))
    at = step(network, 0.3, source=normal(6, 1, 4, 4), target=normal(4, 1, 4, 4, seed=1))
    source, target = (module(at.streams[name].features) for name in ("source", "target"))
    softplus = nn.functional.softplus
    plain = 0.5 * (softplus(-source).mean() + softplus(target).mean())
    strength = 2 / (1 + exp(-3.0)) - 1
    adversarial = strategy.penalty(at, module)
    for parameters, factor in ((network.autoencoder.encoder, -strength), (module, 1.0)):
        wanted = list(parameters.parameters())
        found = torch.autograd.grad(adversarial, wanted, retain_graph=True)
        expected = torch.autograd.grad(plain, wanted, retain_graph=True)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, factor * other, rtol=1e-9, atol=1e-14)


def test_reversal_rises_from_zero_to_one() -> None:
    assert reversal(0.0, 10.0) == 0.0
    assert reversal(0.5, 10.0) == pytest.approx(0.9866142981514303)
    assert reversal(1.0, 10.0) == pytest.approx(0.9999092042625951)


def test_cdan_sees_the_outer_product_of_probability_and_features() -> None:
    side = step(small_network(), source=normal(5, 1, 4, 4)).streams["source"]
    for i, row in enumerate(conditioned(side)):
        torch.testing.assert_close(
            row.reshape(3, 4), torch.outer(side.output[i].softmax(0), side.features[i])
        )


def test_cdan_weighs_by_certainty() -> None:
    output = normal(5, 3)
    entropy = torch.distributions.Categorical(logits=output).entropy()
    torch.testing.assert_close(certainty(output), 1 + torch.exp(-entropy), rtol=1e-12, atol=0)
    at = step(small_network(), source=normal(6, 1, 4, 4), target=normal(4, 1, 4, 4, seed=1))
    strategy = Cdan(weight=1.0, gamma=10.0, hidden=7, entropy=True)
    module = strategy.module(at.network, Classification(), view(at.network))
    sides = []
    for name, label in (("source", 1), ("target", 0)):
        side = at.streams[name]
        probability = torch.sigmoid(module(conditioned(side))).squeeze(1).detach().numpy()
        weight = certainty(side.output).numpy()
        sides.append(
            log_loss([label] * len(weight), probability, sample_weight=weight, labels=[0, 1])
        )
    expected = sum(sides) / 2
    assert float(strategy.penalty(at, module).detach()) == pytest.approx(expected, rel=1e-12)


def test_cdan_refuses_regression() -> None:
    cfg = compose(["transfer=feature/cdan", "task=regression"])
    with pytest.raises(ConfigError, match="feature/cdan: is for classification, and the task is r"):
        check(resolved(cfg), cfg.hydra.runtime.choices)


@pytest.mark.parametrize("option", ["dann", "cdan", "domain_separation"])
def test_the_reversal_rises_by_default_as_in_the_papers(option: str) -> None:
    """``lambda_p = 2 / (1 + exp(-10 p)) - 1`` (arXiv:1505.07818, section 5.2.2): tanh(5 p)."""
    gamma = compose([f"transfer=feature/{option}"]).transfer.feature.gamma
    for progress in (0.0, 0.05, 0.1, 0.5, 1.0):
        assert reversal(progress, gamma) == pytest.approx(tanh(5 * progress), abs=1e-12)


def test_the_loss_of_the_domains_is_not_scaled_by_the_reversal() -> None:
    """The schedule scales the reversed gradient alone: at the start the discriminator learns."""
    strategy = Dann(weight=1.0, gamma=10.0, hidden=7)
    network = small_network()
    module = strategy.module(network, Classification(), view(network))
    at = step(network, 0.0, source=normal(6, 1, 4, 4), target=normal(4, 1, 4, 4, seed=1))
    penalty = strategy.penalty(at, module)
    (inside,) = torch.autograd.grad(penalty, module[0].weight, retain_graph=True)
    below = torch.autograd.grad(penalty, list(network.autoencoder.encoder.parameters()))
    assert inside.abs().max() > 0
    assert all(gradient.abs().max() == 0 for gradient in below)
