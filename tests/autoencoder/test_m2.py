"""The bound of M2 against exact likelihoods, enumeration, and what it may see."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from aetl.autoencoder.m2 import M2
from aetl.bottleneck.normal import Normal as NormalBottleneck
from aetl.corruption.none import NoCorruption
from aetl.loss.gaussian import Gaussian
from aetl.loss.label_nll import LabelNLL
from aetl.loss.semi_supervised import SemiSupervised
from aetl.rng import Rng
from tests.backbones import mlp
from tests.loss.draw import normal

CLASSES, SIGMA = 3, 0.7


def bound() -> SemiSupervised:
    return SemiSupervised(
        weight=1.0, likelihood=Gaussian(weight=1.0, sigma=SIGMA, learned=False).double()
    )


def m2(*shape: int) -> M2:
    torch.manual_seed(0)
    return M2(
        shape,
        CLASSES,
        labels="all",
        corruption=NoCorruption(),
        backbone=mlp(6),
        bottleneck=lambda h: NormalBottleneck(h, latent_dim=2),
    ).double()


class LinearCase:
    """``x = W z + b_y + noise`` with orthogonal columns, so that the posterior is diagonal."""

    def __init__(self, samples: int) -> None:
        weight = torch.zeros(4, 2).double()
        weight[0, 0], weight[1, 0], weight[2, 1] = 1.0, -0.5, 0.8
        shift = normal(CLASSES, 4)
        x = normal(1, 4, seed=1)
        covariance = weight @ weight.T + SIGMA**2 * torch.eye(4).double()
        marginal = MultivariateNormal(shift, covariance)
        self.log_joint = marginal.log_prob(x) - math.log(CLASSES)
        precision = 1.0 + weight.square().sum(0) / SIGMA**2
        mean = (x - shift) @ weight / SIGMA**2 / precision
        self.mean = mean.expand(samples, CLASSES, 2)
        self.logvar = -precision.log().expand(samples, CLASSES, 2)
        z = self.mean + (0.5 * self.logvar).exp() * normal(samples, CLASSES, 2, seed=2)
        self.reconstruction = z @ weight.T + shift
        self.x, self.samples = x.expand(samples, 4), samples

    def value(self, y: int, logits: Tensor) -> float:
        labels = torch.full((self.samples,), y)
        spread = logits.expand(self.samples, CLASSES)
        values = bound()(self.x, labels, spread, self.mean, self.logvar, self.reconstruction)
        return float(values.mean())


def test_with_exact_posteriors_the_bounds_are_the_likelihoods() -> None:
    case = LinearCase(40_000)
    for y in range(CLASSES):
        assert abs(case.value(y, torch.zeros(CLASSES)) + float(case.log_joint[y])) < 0.03
    exact = -float(torch.logsumexp(case.log_joint, 0))
    assert abs(case.value(-1, case.log_joint) - exact) < 0.03


def test_a_wrong_classifier_loosens_the_bound_by_its_divergence() -> None:
    case = LinearCase(40_000)
    wrong = torch.tensor([-1.0, 2.0, 0.5]).double()
    gap = kl_divergence(Categorical(logits=wrong), Categorical(logits=case.log_joint))
    exact = -float(torch.logsumexp(case.log_joint, 0))
    assert float(gap) > 0.3
    assert abs(case.value(-1, wrong) - exact - float(gap)) < 0.03


def test_the_bound_of_the_model_by_enumeration() -> None:
    """Loops over examples and classes, from the networks and torch.distributions."""
    model, x = m2(5), normal(4, 5, seed=3)
    y = torch.tensor([2, -1, 0, -1])
    rng = Rng.of(0)
    out = model(x, rng, y)
    fields = (out.class_logits, out.class_mean, out.class_logvar, out.class_reconstruction)
    values = bound()(x, y, *fields)
    noise = rng.fork("classes").normal(torch.empty(4, CLASSES, 2).double())
    for i, label in enumerate(y.tolist()):
        h = model.encoder(x[i : i + 1])
        q = torch.softmax(model.classifier(h), 1)[0]
        each = []
        for c in range(CLASSES):
            one = torch.zeros(1, CLASSES).double()
            one[0, c] = 1.0
            joined = torch.cat([h, one], 1)
            mean, logvar = model.bottleneck.mean(joined), model.bottleneck.logvar(joined)
            posterior = Normal(mean, (0.5 * logvar).exp())
            z = mean + (0.5 * logvar).exp() * noise[i, c]
            decoded = model.decoder(torch.cat([z, one], 1))
            surprise = -Normal(decoded, SIGMA).log_prob(x[i]).sum()
            prior = Normal(torch.zeros(1, 2).double(), torch.ones(1, 2).double())
            each.append(surprise + math.log(CLASSES) + kl_divergence(posterior, prior).sum())
        mixed = sum(q[c] * (each[c] + q[c].log()) for c in range(CLASSES))
        expected = each[label] if label >= 0 else mixed
        torch.testing.assert_close(
            values[i], expected, rtol=1e-7, atol=0
        )  # sigma is kept in float32


def test_the_classifier_learns_from_known_labels_alone() -> None:
    logits = normal(3, CLASSES)
    value = LabelNLL(weight=1.0)(torch.tensor([1, -1, 2]), logits)
    expected = -torch.log_softmax(logits, 1)
    torch.testing.assert_close(value, torch.stack([expected[0, 1], value[1] * 0, expected[2, 2]]))
    assert float(value[1]) == 0.0


def test_features_are_the_mean_of_z_over_classes_and_their_probabilities() -> None:
    model, x = m2(5), normal(4, 5, seed=3)
    out = model(x)
    q = torch.softmax(out.class_logits, 1)
    mean = (q[:, :, None] * out.class_mean).sum(1)  # the class enters linearly
    torch.testing.assert_close(model.features(x), torch.cat([mean, q], 1))


def test_prior_samples_are_of_the_class_asked_for() -> None:
    model, y = m2(5), torch.tensor([0, 2, 1, 2] * 500)
    z = model.prior_sample(2000, Rng.of(0), y)
    assert torch.equal(z[:, 2:].argmax(1), y)
    assert model.decode(z).shape == (2000, 5)
    assert z[:, :2].mean(0).abs().max() < 0.1
    assert (z[:, :2].std(0) - 1).abs().max() < 0.1
    random = model.prior_sample(3000, Rng.of(0))[:, 2:].mean(0)
    assert (random - 1 / CLASSES).abs().max() < 0.04
