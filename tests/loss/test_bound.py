"""Bits per dimension against models whose likelihood is known exactly."""

from __future__ import annotations

from math import log, log2
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.normal import NormalCode
from aetl.corruption.none import NoCorruption
from aetl.loss.base import LossTerm
from aetl.loss.bernoulli import Bernoulli
from aetl.loss.bound import bits_per_dim
from aetl.loss.capacity_kl import CapacityKL
from aetl.loss.free_bits_kl import FreeBitsKL
from aetl.loss.gaussian import Gaussian
from aetl.loss.importance_weighted import ImportanceWeighted
from aetl.loss.kl import StandardNormalKL
from aetl.loss.l2_code import L2Code
from aetl.loss.mse import SquaredError
from aetl.loss.objective import Objective
from aetl.rng import Rng

D, Z, SIGMA = 5, 2, 0.6


class Exact(nn.Module):
    """The posterior of probabilistic PCA with orthogonal axes ``w`` (Tipping and Bishop, 1999)."""

    latent_shape = (Z,)

    def __init__(self, w: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.w, self.mean = w, mean

    def forward(self, h: Tensor, rng: Rng | None) -> NormalCode:
        precision = (self.w.square().sum(0) + SIGMA**2) / SIGMA**2
        mean = (h.flatten(1) - self.mean) @ self.w / SIGMA**2 / precision
        logvar = -precision.log().expand_as(mean)
        noise = 0.0 if rng is None else rng.normal(mean)
        return NormalCode(mean + torch.exp(0.5 * logvar) * noise, mean, logvar)


class Linear(nn.Module):
    def __init__(self, w: Tensor, mean: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.w, self.mean, self.shape = w, mean, shape

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.w.T + self.mean).view(-1, *self.shape)


class Parts:
    """A backbone of given parts."""

    def __init__(self, w: Tensor, mean: Tensor) -> None:
        self.w, self.mean = w, mean

    def encoder(self, shape: Any) -> Any:
        return nn.Sequential(nn.Identity()), shape

    def decoder(self, shape: Any, latent: Any) -> Any:
        return Linear(self.w, self.mean, shape)


def ppca(shape: tuple[int, ...] = (D,)) -> tuple[Composite, MultivariateNormal]:
    """A linear VAE with the exact posterior, and the distribution of its data."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(D, Z, generator=generator, dtype=torch.float64))[0]
    w = axes * torch.tensor([2.0, 0.7], dtype=torch.float64)
    mean = torch.linspace(-1.0, 1.0, D, dtype=torch.float64)
    model = Composite.__new__(Composite)
    nn.Module.__init__(model)
    model.shape, model.latent_shape = shape, (Z,)
    model.corruption = NoCorruption()
    parts = Parts(w, mean)
    model.encoder, _ = parts.encoder(shape)
    model.bottleneck = Exact(w, mean)  # type: ignore[assignment]
    model.decoder = parts.decoder(shape, (Z,))
    covariance = w @ w.T + SIGMA**2 * torch.eye(D, dtype=torch.float64)
    return model, MultivariateNormal(mean, covariance)


def gaussian(weight: float = 1.0) -> Gaussian:
    return Gaussian(weight=weight, sigma=SIGMA, learned=False).double()


def bits(model: Composite, x: Tensor, images: bool = False, **terms: LossTerm) -> Any:
    rng = Rng.of(3)
    return bits_per_dim(model, Objective(terms), x, images=images, rng=rng)


def drawn(number: int) -> tuple[Composite, Tensor, float]:
    model, truth = ppca()
    torch.manual_seed(1)
    x = truth.sample((number,))
    return model, x, float(-truth.log_prob(x).mean()) / (D * log(2))


def test_importance_weights_of_the_exact_posterior_give_the_exact_likelihood() -> None:
    """Every weight is then p(x) itself, so there is no Monte Carlo error at all."""
    model, x, exact = drawn(50)
    term = ImportanceWeighted(weight=1.0, samples=3, likelihood=gaussian())
    found = bits(model, x, bound=term)
    # The term's sigma is in float32 inside its logarithm.
    assert found.value == pytest.approx(exact, rel=1e-6)
    assert (found.bound, found.data) == ("IWAE, 3 samples", "density")


def test_the_elbo_of_the_exact_posterior_is_the_likelihood_of_probabilistic_pca() -> None:
    model, x, exact = drawn(40_000)
    found = bits(model, x, reconstruction=gaussian(), kl=StandardNormalKL(weight=1.0))
    assert found.value == pytest.approx(exact, rel=2e-3)
    assert (found.bound, found.data) == ("ELBO", "density")


def test_weights_capacities_free_bits_and_penalties_do_not_count() -> None:
    model, x, _ = drawn(100)
    plain = bits(model, x, reconstruction=gaussian(), kl=StandardNormalKL(weight=1.0)).value
    others: list[dict[str, LossTerm]] = [
        {"kl": StandardNormalKL(weight=4.0), "reconstruction": gaussian(0.1)},
        {"kl": CapacityKL(weight=1.0, capacity=25.0, fraction=0.5), "reconstruction": gaussian()},
        {"kl": FreeBitsKL(weight=1.0, free=3.0), "reconstruction": gaussian()},
        {"kl": StandardNormalKL(weight=1.0), "reconstruction": gaussian(),
         "l2": L2Code(weight=1.0)},
    ]  # fmt: skip
    for terms in others:
        assert bits(model, x, **terms).value == pytest.approx(plain, rel=1e-12)


class Ignorant(nn.Module):
    """A posterior that is the prior, so that the bound is the decoder's own likelihood."""

    latent_shape = (Z,)

    def forward(self, h: Tensor, rng: Rng | None) -> NormalCode:
        zero = h.new_zeros(len(h), Z)
        return NormalCode(zero, zero, zero)


def constant(shape: tuple[int, ...], value: float) -> Composite:
    model, _ = ppca(shape)
    model.bottleneck = Ignorant()  # type: ignore[assignment]
    number = torch.Size(shape).numel()
    zero = torch.zeros(number, Z, dtype=torch.float64)
    model.decoder = Linear(zero, torch.full_like(zero[:, 0], value), shape)
    return model


def test_a_density_of_images_is_the_code_length_of_their_grey_values() -> None:
    """A wide Gaussian is flat over a bin: its mass there, by the normal's distribution function."""
    shape = (1, 30, 30)
    generator = torch.Generator().manual_seed(2)
    level = torch.randint(0, 256, (20, *shape), generator=generator)
    normal = Normal(torch.tensor(0.4, dtype=torch.float64), 0.5)
    mass = normal.cdf((level + 1) / 256) - normal.cdf(level / 256)
    x = (level / 255).double()
    term = Gaussian(weight=1.0, sigma=0.5, learned=False).double()
    kl = StandardNormalKL(weight=1.0)
    found = bits(constant(shape, 0.4), x, images=True, reconstruction=term, kl=kl)
    assert found.data == "dequantised"
    assert found.value == pytest.approx(-float(mass.log2().mean()), rel=1e-3)
    assert 8.0 < found.value < 9.0  # above the 8 bits of a uniform code


def test_a_cross_entropy_is_the_code_length_of_the_pixels_set_at_random() -> None:
    shape = (1, 4, 4)
    x = torch.full((3, *shape), 0.25, dtype=torch.float64)
    p = 0.8
    expected = -(0.25 * log2(p) + 0.75 * log2(1 - p))
    model = constant(shape, log(p / (1 - p)))
    terms = {"reconstruction": Bernoulli(weight=1.0), "kl": StandardNormalKL(weight=1.0)}
    found = bits(model, x, images=True, **terms)
    assert found.value == pytest.approx(expected, rel=1e-7)
    assert found.data == "binary"


def test_without_a_likelihood_or_without_a_rate_there_is_no_bound() -> None:
    model, x, _ = drawn(10)
    assert bits(model, x, reconstruction=SquaredError(weight=1.0)) is None
    assert bits(model, x, reconstruction=gaussian()) is None
    assert bits(model, x, error=SquaredError(weight=1.0), kl=StandardNormalKL(weight=1.0)) is None
