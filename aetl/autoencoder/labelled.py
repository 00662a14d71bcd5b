"""Autoencoders that ask for the source's labels, as far as they are known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import prod
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.autoencoder.base import Layered
from aetl.backbone.base import Backbone, Shape
from aetl.bottleneck.normal import Normal, NormalCode
from aetl.corruption.base import Corruption
from aetl.ranges import Count, Size
from aetl.rng import Rng
from aetl.types import DoesNotFit, Output


class Labelled(Layered):
    """A VAE whose posterior and decoder also see a class: ``q(z|x, y)`` and ``p(x|z, y)``.

    Pretraining gives ``y`` to ``forward``, -1 where the label is not known; ``labels`` is how many
    of the source's training labels are (``all``: and those of its validation set), a stratified
    choice of which a smaller one is a part. Nothing else of a run sees them, and ``features`` asks
    for none.

    A class stands as a probability of each of the ``K`` classes beside the code of the encoder and
    beside ``z``. So the latent is ``z`` and these probabilities: ``decode`` takes both, or ``z``
    alone, and then every class is as likely.
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
        super().__init__()
        if num_classes < 1:
            raise DoesNotFit(
                "autoencoder: this one learns from the source's classes, and the source has none"
            )
        self.shape, self.num_classes, self.labels = shape, num_classes, labels
        self.corruption = corruption
        self.encoder, hidden_shape = backbone.encoder(shape)
        self.hidden_dim = prod(hidden_shape)
        self.bottleneck = bottleneck((self.hidden_dim + num_classes,))
        self.latent_dim = prod(self.bottleneck.latent_shape)
        self.latent_shape = (self.latent_dim + num_classes,)
        self.decoder = backbone.decoder((outputs * shape[0], *shape[1:]), self.latent_shape)

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "B ..."],
        rng: Rng | None = None,
        y: Int[Tensor, " B"] | None = None,
    ) -> Output:
        """As without labels, with those that are known."""

    def prior_sample(
        self, n: int, rng: Rng, y: Int[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N Z"]:
        """``n`` latents of the prior that ``decode`` takes; of the classes ``y`` or random ones."""
        like = next(self.parameters())
        z = rng.fork("latent").normal(like.new_empty(n, self.latent_dim))
        if y is None:
            y = (rng.fork("class").uniform(z[:, 0]) * self.num_classes).long()
        return torch.cat([z, self.one_hot(y.to(z.device), z)], 1)

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        if z.shape[1] == self.latent_dim:
            z = torch.cat([z, self.any_class(z)], 1)
        return super().decode(z)

    def hidden(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B H"]:
        """The encoder's output."""
        h: Tensor = self.encoder(x)
        return h.flatten(1)

    def posterior(
        self, h: Float[Tensor, "B H"], classes: Float[Tensor, "B K"], rng: Rng | None
    ) -> NormalCode:
        """``q(z|x, y)`` from the encoder's output and the probabilities of the classes."""
        code: NormalCode = self.bottleneck(torch.cat([h, classes], 1), rng)
        return code

    def any_class(self, like: Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        """The prior of the classes: each as likely."""
        return like.new_full((len(like), self.num_classes), 1.0 / self.num_classes)

    def one_hot(self, y: Int[Tensor, " B"], like: Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        """Certain classes, with nothing where the label is -1."""
        return (y[:, None] == torch.arange(self.num_classes, device=y.device)).to(like.dtype)
