"""Categorical latents by Gumbel softmax (Jang et al., arXiv:1611.01144; Maddison et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.ranges import Positive, Size
from aetl.rng import Rng
from aetl.types import Code


@dataclass(frozen=True)
class CategoricalCode(Code):
    """Relaxed one-hot samples, flat, with the logits of each variable's classes."""

    logits: Float[Tensor, "B V K"]


class Categorical(Bottleneck):
    """``variables`` categorical variables of ``classes`` classes each.

    A sample is ``softmax((logits + g) / temperature)`` with Gumbel noise ``g`` (equation 2); with
    ``hard`` it is one-hot on the way forward and has the soft sample's gradient (the paper's
    straight-through estimator). Without a source of noise the code is the probabilities, which
    carry a gradient where the mode carries none.
    """

    def __init__(
        self,
        in_shape: Shape,
        *,
        variables: Size,
        classes: Annotated[int, Interval(ge=2, le=65_536)],
        temperature: Positive,
        hard: bool,
    ) -> None:
        super().__init__()
        self.latent_shape = (variables * classes,)
        self.temperature, self.hard = temperature, hard
        self.logits = nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(in_shape), variables * classes),
            nn.Unflatten(1, (variables, classes)),
        )

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> CategoricalCode:
        logits = self.logits(h)
        if rng is None:
            return CategoricalCode(torch.softmax(logits, 2).flatten(1), logits)
        tiny = torch.finfo(logits.dtype).tiny
        exponential = -torch.log1p(-rng.uniform(logits))  # uniform numbers include 0, never 1
        gumbel = -torch.log(exponential.clamp(min=tiny))
        soft = torch.softmax((logits + gumbel) / self.temperature, 2)
        if self.hard:
            one_hot = torch.zeros_like(soft).scatter(2, soft.argmax(2, keepdim=True), 1.0)
            soft = one_hot + soft - soft.detach()
        return CategoricalCode(soft.flatten(1), logits)
