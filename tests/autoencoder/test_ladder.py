"""A ladder VAE against the exact likelihood of two linear Gaussian layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from aetl.autoencoder.ladder import Ladder, combined
from aetl.bottleneck.normal import Normal as NormalBottleneck
from aetl.bottleneck.normal import NormalCode
from aetl.corruption.none import NoCorruption
from aetl.loss.gaussian import Gaussian
from aetl.loss.ladder_kl import LadderKL
from aetl.loss.top_kl import TopKL
from aetl.rng import Rng
from tests.backbones import mlp
from tests.loss.draw import normal

SIGMA = 1.5


def ladder() -> Ladder:
    torch.manual_seed(0)
    return Ladder(
        (4,),
        top_dim=2,
        hidden=5,
        corruption=NoCorruption(),
        backbone=mlp(),
        bottleneck=lambda h: NormalBottleneck(h, latent_dim=3),
    ).double()


def linear_ladder() -> Ladder:
    """Without nonlinearities, and with a variance of ``p(z1|z2)`` that is the same for all.

    The posteriors are wide enough for importance weights that do not vary much.
    """
    model = ladder()
    model.encoder[1] = model.up[2] = model.down[1] = torch.nn.Identity()
    with torch.no_grad():
        model.prior.logvar[1].weight.zero_()
        model.bottleneck.logvar[1].bias.add_(1.5)
        scales = ((model.decoder, 1.5), (model.down, 2.0), (model.prior.mean, 2.0))
        for part, scale in (*scales, (model.bottleneck.mean, 0.4), (model.top.mean, 0.4)):
            for parameter in part.parameters():
                parameter.mul_(scale)
    return model


def log_density(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return Independent(Normal(mean, (0.5 * logvar).exp()), 1).log_prob(z)


def exact(model: Ladder, x: Tensor) -> Tensor:
    """``log p(x)`` of ``x = B (A z2 + a + e1) + b + e0``, all Gaussian."""

    def affine(function: object, dim: int) -> tuple[Tensor, Tensor]:
        zero = function(torch.zeros(1, dim).double())  # type: ignore[operator]
        columns = function(torch.eye(dim).double()) - zero  # type: ignore[operator]
        return columns.T, zero[0]

    a, shift = affine(lambda z: model.prior.mean(model.down(z)), 2)
    b, offset = affine(model.decode, 3)
    middle = a @ a.T + torch.diag(model.prior.logvar[1].bias.exp())
    covariance = b @ middle @ b.T + SIGMA**2 * torch.eye(4).double()
    return MultivariateNormal(b @ shift + offset, covariance).log_prob(x)


def test_weights_of_samples_from_the_posteriors_give_the_exact_likelihood() -> None:
    """``log 1/S sum p(x, z) / q(z|x)`` converges to it, and the terms' bound lies below."""
    model = linear_ladder()
    points, samples = normal(3, 4, seed=1), 100_000
    likelihood = Gaussian(weight=1.0, sigma=SIGMA, learned=False).double()
    for i, x in enumerate(points):
        with torch.no_grad():
            many = x.expand(samples, 4)
            out = model(many, Rng.of(i))
            zero = torch.zeros_like(out.top_mean)
            surprise = likelihood(out.reconstruction, many)
            log_weight = (
                log_density(out.top, zero, zero)
                + log_density(out.latent, out.down_mean, out.down_logvar)
                - surprise
                - log_density(out.top, out.top_mean, out.top_logvar)
                - log_density(out.latent, out.code.mean, out.code.logvar)
            )
            known = float(exact(model, x))
            found = float(torch.logsumexp(log_weight, 0)) - torch.tensor(samples).log().item()
            assert abs(found - known) < 0.05
            rates = LadderKL(weight=1.0)(
                out.code.mean, out.code.logvar, out.down_mean, out.down_logvar
            ) + TopKL(weight=1.0)(out.top_mean, out.top_logvar)
            bound = float(-(surprise + rates).mean())
            # The closed forms are the means of the sampled log-ratios ...
            assert abs(bound - float(log_weight.mean())) < 0.05
            # ... and the bound lies under the likelihood, by more than the error of either.
            assert bound < known - 0.1


def test_precisions_add_and_weigh_the_means() -> None:
    """The product of the two densities, normalised, on a grid."""
    one = NormalCode(*(torch.tensor([[v]]).double() for v in (0.3, 0.3, -0.4)))
    other = NormalCode(*(torch.tensor([[v]]).double() for v in (-1.0, -1.0, 0.9)))
    code = combined(one, other, None)
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None]
    product = (
        log_density(grid, one.mean, one.logvar) + log_density(grid, other.mean, other.logvar)
    ).exp()
    product = product / product.sum()
    mean = (product * grid[:, 0]).sum()
    variance = (product * (grid[:, 0] - mean).square()).sum()
    torch.testing.assert_close(code.mean[0, 0], mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(code.logvar[0, 0].exp(), variance, rtol=1e-8, atol=0)


def test_prior_samples_have_the_moments_of_both_layers() -> None:
    model = linear_ladder()
    with torch.no_grad():
        drawn = model.prior_sample(50_000, Rng.of(0))
        zero = model.prior.mean(model.down(torch.zeros(1, 2).double()))
        a = (model.prior.mean(model.down(torch.eye(2).double())) - zero).T
        covariance = a @ a.T + torch.diag(model.prior.logvar[1].bias.exp())
    torch.testing.assert_close(drawn.mean(0), zero[0], rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(drawn.T), covariance, rtol=0.03, atol=0.05)


def test_features_are_the_means_of_either_layer() -> None:
    model, x = ladder(), normal(3, 4)
    output = model(x)
    torch.testing.assert_close(model.features(x), output.code.mean)
    torch.testing.assert_close(model.features(x, "top"), output.top_mean)
    assert torch.equal(output.latent, output.code.mean)
