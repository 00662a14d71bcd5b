"""Masked autoencoder (He, Chen, Xie, Li, Dollar and Girshick, 2022, arXiv:2111.06377)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Layered
from aetl.backbone.base import Backbone, Shape
from aetl.backbone.vit import TokenMap, ViT, from_patches, patches
from aetl.ranges import Inner
from aetl.rng import Rng
from aetl.types import Code, DoesNotFit, Output, UserError

EPSILON = 1e-6
"""Added to a patch's variance, as in the authors' code."""


@dataclass(frozen=True)
class MaskedOutput(Output):
    """The output with what is to be predicted, and where (1 for hidden pixels)."""

    target: Float[Tensor, "B C H W"]
    hidden: Float[Tensor, "B 1 H W"]


class MAE(Layered):
    """Encodes visible patches alone, and predicts the hidden ones from them.

    ``round(mask_fraction * patches)`` patches of each example are hidden, by its own draw. The
    latent is the map of tokens, with a learned mask token where a patch is hidden; the paper's
    enters behind the decoder's first dense layer, which is the same up to that layer. Without a
    source of noise nothing is hidden: that is what transfer sees.

    With ``normalise`` the target is each patch less its mean, divided by its standard deviation
    over all channels (section 4.1): better features, but reconstructions are then on that scale.

    A job costs about ten times one of the plain dense autoencoder: four transformer blocks see
    every visible token (of 28 x 28 pixels 12 of 49 while pretraining, all of them in an arm).
    """

    def __init__(
        self, shape: Shape, *, backbone: Backbone, mask_fraction: Inner, normalise: bool
    ) -> None:
        super().__init__()
        if not isinstance(backbone, ViT):
            raise DoesNotFit(
                f"autoencoder=mae encodes visible patches alone, which "
                f"{type(backbone).__name__} cannot: use backbone=vit, or autoencoder=masked"
            )
        self.shape, self.size, self.grid = shape, backbone.patch_side(shape), backbone.grid(shape)
        self.normalise = normalise
        self.encoder, self.latent_shape = backbone.encoder(shape)
        self.decoder = backbone.decoder(shape, self.latent_shape)
        self.mask_token = nn.Parameter(0.02 * torch.randn(backbone.dim))
        number = self.grid[0] * self.grid[1]
        self.num_hidden = round(mask_fraction * number)
        if not 0 < self.num_hidden < number:
            raise UserError(
                f"autoencoder.mask_fraction={mask_fraction}: hides {self.num_hidden} of {number} "
                "patches; at least one must be hidden and one visible"
            )

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> MaskedOutput:
        tokens = self.encoder[0](x)
        order = torch.arange(tokens.shape[1], device=x.device).expand(tokens.shape[:2])
        number = 0
        if rng is not None:
            order = rng.fork("corruption").uniform(tokens[:, :, 0].detach()).argsort(1)
            number = self.num_hidden
        latent = self._encode_visible(tokens, order[:, number:])
        hidden = self._pixels(torch.zeros_like(order).scatter(1, order[:, :number], 1))
        code = Code(latent)
        hidden = hidden.to(x)
        return MaskedOutput(self.decode(latent), x * (1 - hidden), code, self._target(x), hidden)

    def reconstruct(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B C H W"]:
        """Every patch as it is predicted while it is hidden, in the units of the input.

        Visible patches are never trained on, so what the decoder says of them is no reconstruction.
        In a fixed random order each pass hides the next ``num_hidden`` patches, until all were
        hidden once. With ``normalise`` a prediction is put back on the mean and the standard
        deviation of the true patch, as in the authors' visualisation: two numbers of each patch
        are then given and not predicted.
        """
        number = self.grid[0] * self.grid[1]
        tokens = self.encoder[0](x)
        order = Rng.of("reconstruct").permutation(number).to(x.device)
        whole = torch.zeros_like(x)
        for start in range(0, number, self.num_hidden):
            new = order[start : start + self.num_hidden]
            hidden = order.roll(-start)[: self.num_hidden]
            mask = torch.zeros_like(order).scatter(0, hidden, 1)
            visible = (mask == 0).nonzero().flatten().expand(len(x), -1)
            predicted = self.decode(self._encode_visible(tokens, visible))
            shown = self._pixels(torch.zeros_like(order).scatter(0, new, 1)[None])
            whole = torch.where(shown.bool(), predicted, whole)
        return self._denormalised(whole, x)

    def _denormalised(
        self, whole: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        if not self.normalise:
            return whole
        mean, std = self._statistics(x)
        return from_patches(
            patches(whole, self.size) * std + mean, self.size, self.grid, self.shape
        )

    def _statistics(self, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each patch over its pixels and channels."""
        parts = patches(x, self.size)
        mean = parts.mean(2, keepdim=True)
        variance = parts.var(2, keepdim=True) if len(x) else mean  # of nothing, torch warns
        return mean, (variance + EPSILON).sqrt()

    def _encode_visible(
        self, tokens: Float[Tensor, "B T Z"], visible: Tensor
    ) -> Float[Tensor, "B Z R S"]:
        """The blocks on visible tokens alone; mask tokens elsewhere."""
        index = visible[:, :, None].expand(-1, -1, tokens.shape[2])
        seen = tokens.gather(1, index)
        for block in self.encoder[1:-1]:
            seen = block(seen)
        last = self.encoder[-1]
        assert isinstance(last, TokenMap)
        seen = last.norm(seen)
        whole = self.mask_token.to(seen.dtype).expand_as(tokens).scatter(1, index, seen)
        return whole.transpose(1, 2).reshape(len(whole), whole.shape[2], *self.grid)

    def _pixels(self, patch_mask: Tensor) -> Tensor:
        """A number for each patch as one for each pixel."""
        whole = patch_mask.view(-1, 1, *self.grid)
        for axis in (2, 3):
            whole = whole.repeat_interleave(self.size, axis)
        return whole[:, :, : self.shape[1], : self.shape[2]]

    def _target(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if not self.normalise:
            return x
        mean, std = self._statistics(x)
        normed = (patches(x, self.size) - mean) / std
        return from_patches(normed, self.size, self.grid, self.shape)

    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B ..."]:
        return h

    def between(self) -> list[tuple[str, nn.Module]]:
        return []
