"""What made-up examples have in common: latents of each class, decoded to labelled inputs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from aetl.data.base import Examples
from aetl.ranges import NonNegative
from aetl.rng import Rng
from aetl.task.base import Kind
from aetl.transfer.base import Added, TransferStrategy, View
from aetl.transfer.codec import Codec
from aetl.types import NUMBERS, ExampleKind


class Synthetic(TransferStrategy):
    """Adds ``per_class`` decoded latents of every class that has a labelled target.

    Each counts ``weight`` times a real example. Images are rounded to 256 levels.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    uses_codec: ClassVar[bool] = True
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self, *, per_class: Annotated[int, Interval(ge=0, le=65_536)], weight: NonNegative
    ) -> None:
        self.per_class, self.weight = per_class, weight

    @abstractmethod
    def draw(
        self, z: Float[Tensor, "N Z"], y: Int[Tensor, " N"], rng: Rng
    ) -> tuple[Float[Tensor, "M Z"], Int[Tensor, " M"]]:
        """New latents and their classes, from those of the labelled targets."""

    def codec(self, view: View) -> Codec:
        """What encodes and decodes: the autoencoder as it was transferred."""
        return view.codec()

    def augment(self, view: View) -> Added | None:
        own = view.examples("target_labels")
        if not len(own):
            return None
        codec = self.codec(view)
        latent = codec.encode(own.inputs())
        z, y = self.draw(latent.flatten(1), own.y, view.rng.fork("draw"))
        x = _decoded(codec, z.reshape(-1, *latent.shape[1:]), own)
        return Added(Examples.of(x, y, own.classes), torch.full((len(y),), self.weight))


def _decoded(codec: Codec, z: Float[Tensor, "M ..."], like: Examples) -> Tensor:
    """Inputs of the kind of ``like``."""
    x = codec.decode(z)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8) if like.is_image else x.to(like.x)
