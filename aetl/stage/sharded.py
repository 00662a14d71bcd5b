"""Weights that are shared out over the processes (FSDP2; Zhao et al., 2023, arXiv:2304.11277)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils.parametrize import is_parametrized
from torch.optim import Optimizer

from aetl.autoencoder.base import Layered
from aetl.backbone.switches import SwitchEncoder
from aetl.backbone.tied import Tied
from aetl.stage.adversary import average
from aetl.types import DoesNotFit, UserError

DEEP = (nn.Sequential, nn.TransformerEncoderLayer)
"""Blocks that are run as a whole alone; of others an autoencoder may use the parts (mae)."""


class Sharded(DDPStrategy):
    """Each process holds its part of every block's weights, gradients and moments.

    The blocks are those of the encoders and decoders of a pretraining (a stage of a ResNet, a block
    of a ViT); one is whole while it computes. What lies between them is whole everywhere, with
    gradients averaged as by DDP. What is saved is whole. A whole copy waits in the memory of each
    host. ``DoesNotFit`` where a layer of a block is used from elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[tuple[nn.Sequential, int, nn.Module]] = []

    def configure_ddp(self) -> None:
        module = self.lightning_module
        assert module is not None
        self._refuse(module)
        mesh = init_device_mesh(self.root_device.type, (dist.get_world_size(),))
        sides = [
            side
            for part in module.modules()
            if isinstance(part, Layered)
            for side in (part.encoder, part.decoder)
        ]
        for side in sides:
            for place, block in enumerate(side):
                if not isinstance(block, DEEP) or not any(True for _ in block.parameters()):
                    continue
                shared = copy.deepcopy(block)
                fully_shard(shared, mesh=mesh, reshard_after_forward=True)
                side[place] = shared
                self.whole.append((side, place, block.cpu()))
        left = set(module.modules())
        if not self.whole or any(block in left for _, _, block in self.whole):
            raise DoesNotFit(
                "trainer=fsdp: this autoencoder has no blocks of layers that stand alone; use "
                "trainer=ddp"
            )

    def _refuse(self, module: pl.LightningModule) -> None:
        if any(
            isinstance(m, (Tied, SwitchEncoder)) or is_parametrized(m) for m in module.modules()
        ):
            raise DoesNotFit(
                "trainer=fsdp: is for backbones whose layers are used by their own blocks alone "
                "(resnet, vit; not tied, pooled with switches or spectrally normalised)"
            )
        if getattr(module, "clip", None):
            raise UserError("trainer.gradient_clip_val: does not go with trainer=fsdp")
        averaging = (StochasticWeightAveraging, WeightAveraging)
        callbacks: list[Any] = module.trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, averaging) for callback in callbacks):
            raise UserError("callback: averages of the weights do not go with trainer=fsdp")

    def gather(self) -> None:
        """Put whole blocks in the place of the shared ones, on every process, for good."""
        for side, place, block in self.whole:
            block.load_state_dict(_whole(side[place].state_dict()))
            side[place] = block.to(self.root_device)
        self.whole = []

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **kwargs: Any
    ) -> Any:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]

        def averaged() -> Any:
            loss = closure()
            average([p for p in parameters if not isinstance(p, DTensor)])
            return loss

        return super().optimizer_step(optimizer, averaged, model, **kwargs)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return _whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        found: dict[str, Any] = super().optimizer_state(optimizer)
        return found | {"state": {i: _whole(state) for i, state in found["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = []
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            parts = {i: _part(state, parameters[i]) for i, state in saved["state"].items()}
            states.append(saved | {"state": parts})
        super().load_optimizer_state_dict({"optimizer_states": states})


def _whole(state: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v.full_tensor() if isinstance(v, DTensor) else v for n, v in state.items()}


def _part(state: Mapping[str, Any], parameter: nn.Parameter) -> dict[str, Any]:
    """Of what an optimiser keeps of a parameter this process's part, as that of the parameter."""
    if not isinstance(parameter, DTensor):
        return dict(state)
    mesh, placements, shape = parameter.device_mesh, parameter.placements, parameter.shape
    return {
        name: distribute_tensor(value.to(parameter.device), mesh, placements)
        if isinstance(value, Tensor) and value.shape == shape
        else value
        for name, value in state.items()
    }
