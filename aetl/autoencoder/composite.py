"""The autoencoder that is the sum of its parts: corruption, encoder, bottleneck, decoder.

Undercomplete, denoising, sparse, variational and most other variants are choices of parts and of
loss terms, not classes; see ``conf/autoencoder``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Layered
from aetl.backbone.base import Backbone, Shape
from aetl.backbone.switches import SwitchEncoder
from aetl.backbone.tied import tie
from aetl.bottleneck.base import Bottleneck
from aetl.corruption.base import Corruption
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import EVERY, ExampleKind, Output


class Composite(Layered):
    """``decoder(bottleneck(encoder(corruption(x))))``.

    Where the loss asks for several ``outputs`` a value (a softmax over grey levels), the decoder
    gives that many times the channels, or the elements of a vector.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = EVERY

    def __init__(
        self,
        shape: Shape,
        *,
        corruption: Corruption,
        backbone: Backbone,
        bottleneck: Callable[[Shape], Bottleneck],
        outputs: Size = 1,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.corruption = corruption
        self.encoder, hidden_shape = backbone.encoder(shape)
        self.bottleneck = bottleneck(hidden_shape)
        self.latent_shape = self.bottleneck.latent_shape
        self.decoder = backbone.decoder((outputs * shape[0], *shape[1:]), self.latent_shape)
        tie([self.encoder, self.bottleneck], self.decoder)

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> Output:
        corrupted = x if rng is None else self.corruption(x, rng.fork("corruption"))
        posterior = rng and rng.fork("posterior")
        if isinstance(self.encoder, SwitchEncoder):
            hidden, switches = self.encoder.with_switches(corrupted)
            code = self.bottleneck(hidden, posterior)
            return Output(self.decoder(code.latent, switches), corrupted, code)
        code = self.bottleneck(self.encoder(corrupted), posterior)
        return Output(self.decode(code.latent), corrupted, code)

    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B ..."]:
        latent: Tensor = self.bottleneck(h, None).latent
        return latent
