"""The von Mises-Fisher posterior: moments of its samples, and its KL by quadrature."""

from __future__ import annotations

from math import cos, exp, log, sin

import pytest
import torch
from scipy.integrate import quad
from scipy.special import ive

from aetl.bottleneck.von_mises_fisher import VonMisesFisher, draw
from aetl.loss.von_mises_fisher_kl import VonMisesFisherKL
from aetl.rng import Rng
from aetl.types import UserError


@pytest.mark.parametrize("dim, kappa", [(2, 1.5), (3, 4.0), (8, 20.0)])
def test_samples_lie_on_the_sphere_with_the_moments_of_the_distribution(
    dim: int, kappa: float
) -> None:
    """E w = A and E w^2 = 1 - (Z - 1) A / kappa for the component w along the direction."""
    n = 20_000
    direction = torch.nn.functional.normalize(torch.arange(1.0, dim + 1).double(), dim=0)
    z = draw(direction.expand(n, dim), torch.full((n, 1), kappa).double(), Rng.of(0))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(n, dtype=torch.float64))
    ratio = float(ive(dim / 2, kappa) / ive(dim / 2 - 1, kappa))
    along = z @ direction
    assert float(along.mean()) == pytest.approx(ratio, abs=0.01)
    assert float(along.square().mean()) == pytest.approx(1 - (dim - 1) * ratio / kappa, abs=0.01)
    # What is across has no direction of its own.
    assert (z.mean(0) - ratio * direction).abs().max() < 0.01


def kl_by_quadrature(dim: int, kappa: float) -> float:
    """On the component along the direction, whose uniform density is (1 - w^2)^((Z - 3) / 2)."""

    def integral(f: object) -> float:
        # w = cos(angle) takes the pole of the density at Z = 2 away.
        return float(quad(f, 0, torch.pi, epsabs=0, epsrel=1e-11)[0])  # type: ignore[arg-type]

    uniform = integral(lambda t: sin(t) ** (dim - 2))
    tilted = integral(lambda t: sin(t) ** (dim - 2) * exp(kappa * (cos(t) - 1)))
    mean = integral(lambda t: cos(t) * sin(t) ** (dim - 2) * exp(kappa * (cos(t) - 1))) / tilted
    return kappa * mean + log(uniform) - log(tilted) - kappa


@pytest.mark.parametrize("dim, kappa", [(2, 0.5), (3, 4.0), (8, 20.0), (32, 300.0)])
def test_kl_from_the_uniform_distribution_is_that_by_quadrature(dim: int, kappa: float) -> None:
    concentration = torch.full((3, 1), kappa, dtype=torch.float64)
    value = VonMisesFisherKL(weight=1.0)(torch.zeros(3, dim).double(), concentration)
    assert value.tolist() == pytest.approx([kl_by_quadrature(dim, kappa)] * 3, rel=1e-8)


def test_gradient_of_the_kl_is_right() -> None:
    term, direction = VonMisesFisherKL(weight=1.0), torch.zeros(3, 6).double()
    kappa = torch.tensor([[1.0], [5.0], [80.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: term(direction, k), kappa)


def test_features_are_unit_vectors_and_samples_follow_the_key() -> None:
    torch.manual_seed(0)
    bottleneck = VonMisesFisher((5,), latent_dim=4, max_concentration=100.0)
    h = torch.randn(6, 5)
    code = bottleneck(h, None)
    torch.testing.assert_close(code.latent.norm(dim=1), torch.ones(6))
    assert torch.equal(bottleneck(h, Rng.of(1)).latent, bottleneck(h, Rng.of(1)).latent)
    with pytest.raises(UserError, match="latent_dim=1"):
        VonMisesFisher((5,), latent_dim=1, max_concentration=100.0)
