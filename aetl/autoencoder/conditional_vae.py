"""Conditional VAE (Sohn, Lee and Yan, 2015, Learning structured output representation, NeurIPS)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.autoencoder.labelled import Labelled
from aetl.rng import Rng
from aetl.types import Output


class ConditionalVAE(Labelled):
    """A VAE of ``x`` given its class (equation 4 with the class as the condition).

    The prior of ``z`` is ``N(0, I)`` for every class. The class stands beside the encoder's output
    and enters the posterior's mean and log-variance linearly. Where a label is not known, every
    class is as likely; so too in ``features``, which are therefore the posterior's mean up to the
    shift that the class would give it.
    """

    def forward(
        self,
        x: Float[Tensor, "B ..."],
        rng: Rng | None = None,
        y: Int[Tensor, " B"] | None = None,
    ) -> Output:
        corrupted = x if rng is None else self.corruption(x, rng.fork("corruption"))
        h = self.hidden(corrupted)
        classes = self.any_class(h)
        if y is not None:
            classes = torch.where((y >= 0)[:, None], self.one_hot(y, h), classes)
        code = self.posterior(h, classes, rng and rng.fork("posterior"))
        latent = torch.cat([code.latent, classes], 1)
        return Output(self.decode(latent), corrupted, type(code)(latent, code.mean, code.logvar))

    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B Y"]:
        h = h.flatten(1)
        classes = self.any_class(h)
        return torch.cat([self.posterior(h, classes, None).latent, classes], 1)
