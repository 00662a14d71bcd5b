"""KL divergence of a von Mises-Fisher posterior from the uniform distribution on the sphere."""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from scipy.special import ive
from torch import Tensor

from aetl.loss.base import LossTerm, Prior, Role


class VonMisesFisherKL(LossTerm):
    """``kappa A(kappa) + log C(kappa) + log |S^(Z-1)|`` (arXiv:1804.00891).

    ``A = I_{Z/2} / I_{Z/2-1}`` is the mean along the direction, ``C`` the density's constant. The
    Bessel functions are SciPy's, on the CPU.
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "sphere"
    role: ClassVar[Role | None] = "rate"

    def forward(
        self, direction: Float[Tensor, "B Z"], concentration: Float[Tensor, "B 1"]
    ) -> Float[Tensor, " B"]:
        kl: Tensor = _KL.apply(concentration.squeeze(1), direction.shape[1])
        return kl


class _KL(torch.autograd.Function):
    """The KL and its derivative ``kappa A'`` with ``A' = 1 - A^2 - (Z - 1) A / kappa``."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, dim: int) -> Tensor:
        kappa = concentration.detach().double().cpu()
        order = dim / 2 - 1
        scaled = torch.from_numpy(ive(order, kappa.numpy()))
        ratio = torch.from_numpy(ive(order + 1, kappa.numpy())) / scaled
        log_bessel = scaled.log() + kappa
        log_constant = order * kappa.log() - dim / 2 * log(2 * pi) - log_bessel
        log_area = log(2.0) + dim / 2 * log(pi) - lgamma(dim / 2)
        slope = kappa * (1.0 - ratio.square() - (dim - 1) * ratio / kappa)
        ctx.save_for_backward(slope.to(concentration))
        return (kappa * ratio + log_constant + log_area).to(concentration)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None
