"""The importance-weighted bound against exact likelihoods of linear Gaussian models."""

from __future__ import annotations

import torch
from sklearn.decomposition import PCA
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.normal import Normal as NormalBottleneck
from aetl.corruption.none import NoCorruption
from aetl.loss.bernoulli import Bernoulli
from aetl.loss.gaussian import Gaussian
from aetl.loss.importance_weighted import ImportanceWeighted
from aetl.rng import Rng
from tests.backbones import mlp
from tests.loss.draw import normal


def linear_vae(input_dim: int, latent_dim: int) -> Composite:
    return Composite(
        (input_dim,),
        corruption=NoCorruption(),
        backbone=mlp(activation="relu"),
        bottleneck=lambda h: NormalBottleneck(h, latent_dim=latent_dim),
    ).double()


def bound(sigma: float, samples: int) -> ImportanceWeighted:
    likelihood = Gaussian(weight=1.0, sigma=sigma, learned=False)
    return ImportanceWeighted(weight=1.0, samples=samples, likelihood=likelihood).double()


def values(model: Composite, term: ImportanceWeighted, x: torch.Tensor, key: int) -> torch.Tensor:
    code = model(x).code
    return term(x, code.mean, code.logvar, model, Rng.of(key)).detach()


def test_at_the_exact_posterior_every_draw_gives_the_likelihood_of_probabilistic_pca() -> None:
    """Tipping and Bishop (1999): the optimum of a linear VAE, whose exact value sklearn knows."""
    x = normal(60, 5) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5, 0.5]).double()) + 1.0
    pca = PCA(2).fit(x.numpy())
    # sklearn's covariance divides by N - 1, as its score does.
    values_, axes = (torch.from_numpy(v) for v in (pca.explained_variance_, pca.components_))
    noise = float(pca.noise_variance_)
    model = linear_vae(5, 2)
    with torch.no_grad():
        weight = axes.T * (values_ - noise).sqrt()
        decoder = model.decoder[-1][0]
        decoder.weight.copy_(weight)
        decoder.bias.copy_(torch.from_numpy(pca.mean_))
        gain = weight.T / values_[:, None]  # M^-1 W^T, with M = W^T W + noise = diag(values)
        model.bottleneck.mean[1].weight.copy_(gain)
        model.bottleneck.mean[1].bias.copy_(-gain @ decoder.bias)
        model.bottleneck.logvar[1].weight.zero_()
        model.bottleneck.logvar[1].bias.copy_((noise / values_).log())
    exact = -torch.from_numpy(pca.score_samples(x.numpy()))
    for samples in (1, 7):
        term = bound(noise**0.5, samples)
        torch.testing.assert_close(values(model, term, x, 0), exact, rtol=1e-6, atol=1e-6)


def test_the_bound_tightens_with_k_towards_the_exact_likelihood() -> None:
    torch.manual_seed(0)
    model, x = linear_vae(4, 2), normal(20, 4)
    decoder = model.decoder[-1][0]
    covariance = decoder.weight @ decoder.weight.T + 0.25 * torch.eye(4, dtype=torch.float64)
    exact = -MultivariateNormal(decoder.bias, covariance).log_prob(x).mean().detach()
    means = [
        torch.stack([values(model, bound(0.5, k), x, key).mean() for key in range(n)]).mean()
        for k, n in ((1, 400), (5, 200), (50, 40), (5000, 1))
    ]
    gaps = [float(m - exact) for m in means]
    assert gaps[0] > 1.5 * gaps[1] > 0
    assert gaps[1] > 2 * gaps[2] > 0
    assert abs(gaps[3]) < 0.5 * gaps[2]
    assert abs(gaps[3]) < 0.02 * gaps[0]


def test_one_draw_is_the_evidence_lower_bound_on_average() -> None:
    torch.manual_seed(0)
    model, x = linear_vae(3, 2), normal(5, 3)
    code = model(x).code
    term = bound(0.7, 1)
    drawn = torch.stack([values(model, term, x, key) for key in range(2000)]).mean(0)
    posterior = Normal(code.mean, (0.5 * code.logvar).exp())
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    weight = model.decoder[-1][0].weight
    spread = (code.logvar.exp()[:, None] * weight.square()[None]).sum(2)
    mean = model.decode(code.mean)
    log_likelihood = Normal(mean, 0.7).log_prob(x) - spread / (2 * 0.49)
    expected = kl - log_likelihood.sum(1)
    torch.testing.assert_close(drawn, expected.detach(), rtol=0.02, atol=0)


def test_it_takes_the_link_of_its_likelihood() -> None:
    likelihood = Bernoulli(weight=1.0)
    term = ImportanceWeighted(weight=1.0, samples=1, likelihood=likelihood)
    assert term.mean(torch.zeros(1, 1)).item() == 0.5
