"""A von Mises-Fisher posterior on the unit sphere (Davidson et al., 2018, arXiv:1804.00891)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.ranges import Positive, Size
from aetl.rng import Rng
from aetl.types import Code, UserError

PROPOSALS = 64
"""Draws of the rejection sampler, at once: each is accepted with a probability of 0.66 or more."""


MAX_DIM = 256


@dataclass(frozen=True)
class VonMisesFisherCode(Code):
    """A unit vector drawn around ``direction``, the more closely the larger ``concentration``."""

    direction: Float[Tensor, "B Z"]
    concentration: Float[Tensor, "B 1"]


class VonMisesFisher(Bottleneck):
    """``z ~ vMF(direction, concentration)``, the direction without a source of noise.

    The component along the direction is drawn by Wood's rejection sampler (algorithm 1), with the
    gradient through the accepted proposal alone: the paper's correction for the acceptance
    probability is left out. The rest is uniform across, and a Householder
    reflection turns the pole to the direction. Concentration is ``1 + softplus``, as in the
    authors' code, and at most ``max_concentration``.
    """

    def __init__(self, in_shape: Shape, *, latent_dim: Size, max_concentration: Positive) -> None:
        super().__init__()
        if not 2 <= latent_dim <= MAX_DIM:
            raise UserError(
                f"bottleneck.latent_dim={latent_dim}: a sphere takes 2 to {MAX_DIM} "
                "(beyond, the Bessel functions of the KL underflow)"
            )
        self.latent_shape = (latent_dim,)
        self.max_concentration = max_concentration
        self.direction = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), latent_dim))
        self.concentration = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), 1))

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> VonMisesFisherCode:
        direction = normalize(self.direction(h), dim=1)
        raw = 1.0 + softplus(self.concentration(h))
        concentration = raw.clamp(max=self.max_concentration)
        latent = direction if rng is None else draw(direction, concentration, rng)
        return VonMisesFisherCode(latent, direction, concentration)


def draw(
    direction: Float[Tensor, "B Z"], concentration: Float[Tensor, "B 1"], rng: Rng
) -> Float[Tensor, "B Z"]:
    """Unit vectors from vMF."""
    along = _along(direction, concentration, rng)
    across = normalize(rng.fork("across").normal(direction[:, 1:]), dim=1)
    at_pole = torch.cat([along, (1.0 - along.square()).clamp(min=0.0).sqrt() * across], 1)
    pole = torch.zeros_like(direction)
    pole[:, 0] = 1.0
    mirror = normalize(pole - direction, dim=1)
    return at_pole - 2.0 * (at_pole * mirror).sum(1, keepdim=True) * mirror


def _along(
    direction: Float[Tensor, "B Z"], concentration: Float[Tensor, "B 1"], rng: Rng
) -> Float[Tensor, "B 1"]:
    """The component along the direction: the first accepted of a fixed number of proposals."""
    m = direction.shape[1] - 1
    root = torch.sqrt(4.0 * concentration.square() + m**2)
    b = m / (2.0 * concentration + root)  # without the cancellation of (root - 2 kappa) / m
    a = (m + 2.0 * concentration + root) / 4.0
    d = 4.0 * a * b / (1.0 + b) - m * torch.log(a.new_full((), float(m)))
    like = direction[:, :1].expand(-1, PROPOSALS).detach()
    beta = _symmetric_beta(m, like, rng)
    w = (1.0 - (1.0 + b) * beta) / (1.0 - (1.0 - b) * beta)
    t = 2.0 * a * b / (1.0 - (1.0 - b) * beta)
    accepted = m * torch.log(t) - t + d >= torch.log(rng.fork("accept").uniform(like))
    first = accepted.float().argmax(1, keepdim=True)
    return w.gather(1, first)


def _symmetric_beta(m: int, like: Tensor, rng: Rng) -> Tensor:
    """Beta(m / 2, m / 2): the share of m of 2m squared normal numbers in the sum of all."""
    squares = rng.fork("beta").normal(like[..., None].expand(*like.shape, 2 * m)).square()
    one = squares[..., :m].sum(-1)
    return one / squares.sum(-1)
