"""Continuous Bernoulli likelihood for values in [0, 1] (Loaiza-Ganem and Cunningham, 2019).

arXiv:1907.06845: the Bernoulli cross-entropy with the normalising constant that makes it a density.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Role, Support

SMALL = 0.1
"""Below it the series in the logit is exact to double precision, and the closed form is not."""


class ContinuousBernoulli(LossTerm):
    """``-sum_d log p(x_d)`` with ``p(x) = C exp(eta x)`` on [0, 1], ``eta = reconstruction_d``.

    In the logit ``eta`` the constant is ``1 / C = (exp(eta) - 1) / eta``.
    """

    support: ClassVar[Support] = "unit"

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        return (_log_integral(reconstruction) - reconstruction * x).flatten(1).sum(1)

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """``1 / (1 - exp(-eta)) - 1 / eta``, which is not the sigmoid."""
        eta = reconstruction
        near = eta.abs() < SMALL
        safe = torch.where(near, torch.ones_like(eta), eta)
        series = 0.5 + eta / 12 - eta**3 / 720 + eta**5 / 30240
        return torch.where(near, series, -1.0 / torch.expm1(-safe) - 1.0 / safe)


def _log_integral(eta: Tensor) -> Tensor:
    """``log((exp(eta) - 1) / eta) = eta / 2 + log(sinh(a) / a)`` with ``a = |eta| / 2``."""
    size = eta.abs()
    near = size < SMALL
    safe = torch.where(near, torch.ones_like(eta), size)
    far = 0.5 * safe + torch.log(-torch.expm1(-safe)) - torch.log(safe)
    series = size**2 / 24 - size**4 / 2880 + size**6 / 181440
    return 0.5 * eta + torch.where(near, series, far)
