"""A plain adversarial term without noise, and a callback that keeps what was trained."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn

from aetl.loss.adversarial import Adversarial, dense_discriminator, taken_for


class Critic(Adversarial):
    """A discriminator between inputs and reconstructions."""

    unit: ClassVar[str] = "nats"

    def build(self, shape: tuple[int, ...], latent_shape: tuple[int, ...]) -> nn.Module:
        return dense_discriminator(prod(shape), [5])

    def forward(self, reconstruction: Tensor) -> Tensor:
        return taken_for(True, self.discriminator(reconstruction))

    def adversary_loss(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        fake = taken_for(False, self.discriminator(reconstruction))
        return taken_for(True, self.discriminator(x)) + fake


CRITIC = (
    "+loss.critic._target_=tests.stage.critic.Critic",
    "+loss.critic.weight=0.5",
    "+loss.critic.lr_scale=2.0",
)


class Keep(pl.Callback):
    """The module and its state before and after training; its batches; which losses were seen."""

    module: ClassVar[Any] = None
    start: ClassVar[dict[str, Tensor]] = {}
    end: ClassVar[dict[str, Tensor]] = {}
    batches: ClassVar[list[Any]] = []

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        Keep.module, Keep.start, Keep.batches = module, _state(module), []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, _: int) -> None:
        Keep.batches.append(batch)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        Keep.end = _state(module)


KEEP = "+callback.keep._target_=tests.stage.critic.Keep"


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def moved(part: str) -> Tensor:
    """How far the parameters whose names begin with ``part`` went, as one vector."""
    names = [name for name in Keep.start if name.startswith(part)]
    return torch.cat([(Keep.end[n] - Keep.start[n]).flatten() for n in names])


def scaled() -> MixedPrecision:
    """Half precision with a gradient scaler, which Lightning itself has on GPUs alone."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))


SCALED = ("trainer.precision=null", "+trainer.plugins._target_=tests.stage.critic.scaled")
