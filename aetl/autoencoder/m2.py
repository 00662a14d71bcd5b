"""Semi-supervised VAE, M2 (Kingma, Rezende, Mohamed and Welling, 2014, arXiv:1406.5298)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aetl.autoencoder.labelled import Labelled
from aetl.backbone.base import Backbone, Shape
from aetl.bottleneck.normal import Normal
from aetl.corruption.base import Corruption
from aetl.ranges import Count, Size
from aetl.rng import Rng
from aetl.types import Output


@dataclass(frozen=True)
class M2Output(Output):
    """The output with what the bound sums over: every class with its posterior and decoding."""

    class_logits: Float[Tensor, "B K"]
    class_mean: Float[Tensor, "B K Z"]
    class_logvar: Float[Tensor, "B K Z"]
    class_reconstruction: Float[Tensor, "B K ..."]


class M2(Labelled):
    """The class is a latent variable where it is not known: ``p(x|z, y) p(y) p(z)`` (equation 2).

    The classifier ``q(y|x)`` is linear on the encoder's output, which it shares with ``q(z|x, y)``;
    the paper has a network for each. ``features`` are the mean of ``z`` and the classes'
    probabilities, both from the input alone. All classes are as likely a priori.
    """

    def __init__(
        self,
        shape: Shape,
        num_classes: int,
        *,
        labels: Count | Literal["all"],
        corruption: Corruption,
        backbone: Backbone,
        bottleneck: Callable[[Shape], Normal],
        outputs: Size = 1,
    ) -> None:
        super().__init__(
            shape,
            num_classes,
            labels=labels,
            corruption=corruption,
            backbone=backbone,
            bottleneck=bottleneck,
            outputs=outputs,
        )
        self.classifier = nn.Linear(self.hidden_dim, num_classes)

    def forward(
        self,
        x: Float[Tensor, "B ..."],
        rng: Rng | None = None,
        y: Int[Tensor, " B"] | None = None,
    ) -> M2Output:
        corrupted = x if rng is None else self.corruption(x, rng.fork("corruption"))
        h = self.hidden(corrupted)
        logits = self.classifier(h)
        classes = torch.softmax(logits, 1)
        if y is not None:
            classes = torch.where((y >= 0)[:, None], self.one_hot(y, h), classes)
        code = self.posterior(h, classes, rng and rng.fork("posterior"))
        latent = torch.cat([code.latent, classes], 1)
        return M2Output(
            self.decode(latent),
            corrupted,
            type(code)(latent, code.mean, code.logvar),
            logits,
            *self._of_every_class(h, rng and rng.fork("classes")),
        )

    def _of_every_class(self, h: Float[Tensor, "B H"], rng: Rng | None) -> tuple[Tensor, ...]:
        """Mean, log-variance and reconstruction by a sample, for each class."""
        number, k = len(h), self.num_classes
        every = torch.eye(k, dtype=h.dtype, device=h.device).repeat(number, 1)
        code = self.posterior(h.repeat_interleave(k, 0), every, None)
        mean, logvar = (v.view(number, k, v.shape[1]) for v in (code.mean, code.logvar))
        z = mean if rng is None else mean + torch.exp(0.5 * logvar) * rng.normal(mean)
        decoded = self.decode(torch.cat([z.flatten(0, 1), every], 1))
        return mean, logvar, decoded.view(number, k, *decoded.shape[1:])

    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B Y"]:
        h = h.flatten(1)
        classes = torch.softmax(self.classifier(h), 1)
        return torch.cat([self.posterior(h, classes, None).latent, classes], 1)

    def between(self) -> list[tuple[str, nn.Module]]:
        return [("classifier", self.classifier), *super().between()]
