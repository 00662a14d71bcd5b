"""No autoencoder: the input is its own code, so that any arm runs on raw features."""

from __future__ import annotations

from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.closed_form import ClosedForm
from aetl.backbone.base import Shape
from aetl.rng import Rng
from aetl.types import Code, Output, UserError


class Identity(ClosedForm):
    """Nothing is learnt and nothing has parameters: what trains is the head alone.

    A twin from scratch is the same network, so that ``parameter/finetune`` gains exactly 0; what
    can differ is what is done with the features (``feature/coral``, ``instance/kmm``, ...).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.latent_shape = shape, (prod(shape),)

    def fit(self, x: Float[Tensor, "N ..."]) -> None:
        """There is nothing to set."""

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> Output:
        code = Code(self.features(x))
        return Output(self.decode(code.latent), x, code)

    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        if layer != "latent":
            raise UserError(f"representation.layer={layer}: no such layer (latent)")
        return x.flatten(1)

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return z.view(-1, *self.shape)

    def layers(self) -> list[tuple[str, nn.Module]]:
        return []
