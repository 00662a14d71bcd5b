"""Principal component analysis, the optimal linear autoencoder (Hotelling, 1933)."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.closed_form import ClosedForm
from aetl.backbone.base import Shape
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Code, Output, UserError


class PCA(ClosedForm):
    """``z = V (x - mean)`` with the ``latent_dim`` directions of largest variance as rows of V.

    With ``whiten`` each latent is divided by its standard deviation over the data (and multiplied
    again on the way back). The largest element of each direction is positive.
    """

    def __init__(self, shape: Shape, *, latent_dim: Size, whiten: bool) -> None:
        super().__init__()
        if latent_dim > prod(shape):
            raise UserError(
                f"autoencoder.latent_dim={latent_dim}: the data has only {prod(shape)} dimensions"
            )
        self.shape, self.latent_shape, self.whiten = shape, (latent_dim,), whiten
        self.encoder = nn.Linear(prod(shape), latent_dim)
        self.decoder = nn.Linear(latent_dim, prod(shape))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "N ..."]) -> None:
        flat = x.flatten(1).double()
        number, latent_dim = len(flat), self.latent_shape[0]
        if number <= latent_dim:
            raise UserError(
                f"autoencoder.latent_dim={latent_dim}: {number} examples span at most "
                f"{number - 1} directions"
            )
        mean = flat.mean(0)
        directions, variances = _principal(flat - mean, latent_dim)
        scale = variances.sqrt() if self.whiten else torch.ones_like(variances)
        # A direction without variance stays as it is: there is nothing to divide by.
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        self.encoder.weight.copy_(directions / scale[:, None])
        self.encoder.bias.copy_(-(directions @ mean) / scale)
        self.decoder.weight.copy_((directions * scale[:, None]).T)
        self.decoder.bias.copy_(mean)

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> Output:
        code = Code(self.features(x))
        return Output(self.decode(code.latent), x, code)

    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        if layer != "latent":
            raise UserError(f"representation.layer={layer}: no such layer (latent)")
        latent: Tensor = self.encoder(x.flatten(1))
        return latent

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        decoded: Tensor = self.decoder(z)
        return decoded.view(-1, *self.shape)

    def layers(self) -> list[tuple[str, nn.Module]]:
        return [("encoder", self.encoder), ("decoder", self.decoder)]


def _principal(
    centred: Float[Tensor, "N D"], number: int
) -> tuple[Float[Tensor, "Z D"], Float[Tensor, " Z"]]:
    """The leading directions with their variances (divided by N - 1), by the smaller problem."""
    n, d = centred.shape
    if d < n:
        variances, vectors = torch.linalg.eigh(centred.T @ centred / (n - 1))
        variances, directions = variances.flip(0).clamp(min=0.0), vectors.flip(1).T
    else:
        _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
        variances = singular.square() / (n - 1)
    directions, variances = directions[:number], variances[:number]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign(), variances
