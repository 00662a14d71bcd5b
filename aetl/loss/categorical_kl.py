"""KL divergence of categorical posteriors from uniform priors (arXiv:1611.01144, section 3)."""

from __future__ import annotations

from math import log
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Prior


class CategoricalKL(LossTerm):
    """``sum_v (log K - H(q_v))`` over the variables, of the exact categorical distributions.

    The relaxed samples have a density of their own, whose KL Maddison et al. (arXiv:1611.00712)
    prefer; this is Jang et al.'s choice.
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "categorical"

    def forward(self, logits: Float[Tensor, "B V K"]) -> Float[Tensor, " B"]:
        log_q = torch.log_softmax(logits, 2)
        return (log_q.exp() * (log_q + log(logits.shape[2]))).flatten(1).sum(1)
