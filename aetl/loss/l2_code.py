"""L2 penalty on the code (Ghosh et al., 2020, arXiv:1903.12436)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class L2Code(LossTerm):
    """``1/2 sum_z z^2``: the part of a Gaussian posterior's KL that its mean has."""

    unit: ClassVar[str] = "squared latent units"

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return 0.5 * latent.square().flatten(1).sum(1)
