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

BLOCK = 1024
LOST = 1e-9
"""Of the largest variance: a smaller one has lost half its digits in a product."""


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
        flat = x.flatten(1)
        number, latent_dim = len(flat), self.latent_shape[0]
        if number <= latent_dim:
            raise UserError(
                f"autoencoder.latent_dim={latent_dim}: {number} examples span at most "
                f"{number - 1} directions"
            )
        mean = flat.mean(0, dtype=torch.float64)
        directions, variances = _principal(flat, mean, latent_dim)
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
    x: Float[Tensor, "N D"], mean: Float[Tensor, " D"], number: int
) -> tuple[Float[Tensor, "Z D"], Float[Tensor, " Z"]]:
    """The leading directions with their variances (divided by N - 1), by the smaller problem."""
    n, d = x.shape
    if d < n:
        centred = x.double() - mean
        variances, vectors = torch.linalg.eigh(centred.T @ centred / (n - 1))
        variances, directions = variances.flip(0).clamp(min=0.0), vectors.flip(1).T
    else:
        variances, directions = _by_examples(x, mean, number)
    directions, variances = directions[:number], variances[:number]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign(), variances


def _by_examples(
    x: Float[Tensor, "N D"], mean: Float[Tensor, " D"], number: int
) -> tuple[Float[Tensor, " Z"], Float[Tensor, "Z D"]]:
    """From the products of the examples, which are fewer than their dimensions.

    By blocks of columns, so that no copy in double precision is made of them. Of variances that
    their square would lose among the largest, by singular values instead.
    """
    blocks = [slice(start, start + BLOCK) for start in range(0, x.shape[1], BLOCK)]
    products = torch.zeros(len(x), len(x), dtype=torch.float64)
    for block in blocks:
        centred = x[:, block].double() - mean[block]
        products += centred @ centred.T
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.flip(0)[:number], vectors.flip(1)[:, :number]
    if values[-1] <= LOST * values[0]:
        _, singular, directions = torch.linalg.svd(x.double() - mean, full_matrices=False)
        return singular.square() / (len(x) - 1), directions
    parts = (vectors / values.sqrt()).T
    directions = torch.cat([parts @ (x[:, block].double() - mean[block]) for block in blocks], 1)
    return values / (len(x) - 1), directions
