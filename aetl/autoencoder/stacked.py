"""Stacked denoising autoencoder, pretrained layer by layer (Vincent et al., JMLR 11, 2010)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.composite import Composite
from aetl.backbone.base import Backbone, Shape
from aetl.bottleneck.base import Bottleneck
from aetl.corruption.base import Corruption
from aetl.ranges import Fraction
from aetl.rng import Rng
from aetl.types import Code, DoesNotFit, Output, UserError


@dataclass(frozen=True)
class StackedOutput(Output):
    """The output of the layer in training, with the clean codes below it, which it reconstructs."""

    target: Float[Tensor, "B ..."]


class Stacked(Composite):
    """A composite whose layers are trained one after the other, then all together.

    Every layer of the encoder (the bottleneck is the last) makes a denoising autoencoder with its
    mirror image in the decoder: it reconstructs the codes of the trained layers below from
    corrupted ones (section 3.4). Each has an equal share of the steps; the last ``finetune`` of
    them train the whole on corrupted inputs, without labels. The layers below are in eval mode, and
    layers that do not take part get no gradient, so an optimiser does not move them at all.

    How much of training is done comes with ``rng``; without it, or at the end, the answer is the
    whole autoencoder's.
    """

    trains_in_turns: ClassVar[bool] = True

    def __init__(
        self,
        shape: Shape,
        *,
        finetune: Fraction,
        corruption: Corruption,
        backbone: Backbone,
        bottleneck: Callable[[Shape], Bottleneck],
    ) -> None:
        super().__init__(shape, corruption=corruption, backbone=backbone, bottleneck=bottleneck)
        if not 0.0 <= finetune <= 1.0:
            raise UserError(
                f"autoencoder.finetune={finetune}: must be 0 to 1, a share of the steps"
            )
        self.finetune = finetune
        self._refuse(type(backbone).__name__)

    @property
    def down(self) -> list[list[nn.Module]]:
        """The encoder's layers, from the input to the latent."""
        return [*_groups(self.encoder), [self.bottleneck]]

    @property
    def up(self) -> list[list[nn.Module]]:
        """The decoder's layer back to the input of each of these."""
        return _groups(self.decoder)[::-1]

    def layer_at(self, progress: float) -> int:
        """Which layer trains after this fraction of the steps; their number stands for all."""
        number, greedy = len(self.down), 1.0 - self.finetune
        if progress >= greedy:
            return number
        return min(number - 1, int(number * progress / greedy))

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> StackedOutput:
        number = len(self.down) if rng is None else self.layer_at(rng.progress)
        if rng is None or number == len(self.down):
            output = super().forward(x, rng)
            return StackedOutput(output.reconstruction, output.corrupted, output.code, x)
        below = self.down[:number]
        with torch.no_grad(), _in_eval_mode(below):
            clean = x
            for layer in below:
                clean = _through(layer, clean)
        corrupted = self.corruption(clean, rng.fork("corruption"))
        latent = _through(self.down[number], corrupted)
        return StackedOutput(_through(self.up[number], latent), corrupted, Code(latent), clean)

    @torch.no_grad()
    def _refuse(self, backbone: str) -> None:
        """Raise ``UserError`` where layers have no mirror image, or the code has more to train."""
        if get_type_hints(type(self.bottleneck).forward)["return"] is not Code:
            raise DoesNotFit(
                f"autoencoder=stacked_denoising takes a plain code (bottleneck=linear, k_sparse), "
                f"not {type(self.bottleneck).__name__}"
            )
        down, up = self.down, self.up
        fits = len(down) == len(up)
        self.eval()
        h = torch.zeros(1, *self.shape)
        for there, back in zip(down, up, strict=False):
            above = _through(there, h)
            try:
                fits = fits and _through(back, above).shape == h.shape
            except RuntimeError:  # a matrix or kernel of another size
                fits = False
            h = above
        self.train()
        if not fits:
            raise DoesNotFit(
                f"autoencoder=stacked_denoising: the {len(down)} layers of {backbone}'s encoder "
                f"and bottleneck are not mirrored by the {len(up)} of its decoder; use mlp "
                "or conv"
            )


def _groups(blocks: nn.Sequential) -> list[list[nn.Module]]:
    """Blocks with parameters, each with those without any before it (and behind, at the end)."""
    groups: list[list[nn.Module]] = []
    waiting: list[nn.Module] = []
    for block in blocks:
        waiting.append(block)
        if any(True for _ in block.parameters()):
            groups.append(waiting)
            waiting = []
    if groups:
        groups[-1] += waiting
    return groups


def _through(layer: list[nn.Module], h: Tensor) -> Tensor:
    for block in layer:
        h = block(h, None).latent if isinstance(block, Bottleneck) else block(h)
    return h


@contextmanager
def _in_eval_mode(layers: list[list[nn.Module]]) -> Iterator[None]:
    """Eval mode inside, so that trained layers keep their statistics; then the mode before."""
    modes = [(part, part.training) for layer in layers for m in layer for part in m.modules()]
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
