"""Batch normalisation takes the statistics of the target (Li et al., 2016, arXiv:1603.04779)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from aetl.ranges import Count
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.depth import eval_mode
from aetl.transfer.network import Network
from aetl.types import DoesNotFit

BatchNorm = nn.modules.batchnorm._BatchNorm


class Adabn(TransferStrategy):
    """After training on source labels, running statistics become those of the target's inputs.

    Layer by layer from the input, each over what the corrected layers below it give, in batches of
    ``batch_size``, which changes the memory but not the result.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, batch_size: Count) -> None:
        self.batch_size = batch_size

    def settle(self, network: Network, view: View) -> None:
        inputs = view.examples("target_inputs")
        device = network.scale.device
        parts = torch.split(torch.arange(len(inputs)), self.batch_size)
        batches = [inputs.inputs(rows, device).to(network.scale.dtype) for rows in parts]
        done: set[nn.Module] = set()
        with torch.no_grad(), eval_mode(network):
            while (layer := _first_norm(network, batches[0], done)) is not None:
                _take_statistics(network, layer, batches)
                done.add(layer)
        if not done:
            raise DoesNotFit(
                "transfer.parameter: adabn needs an encoder with batch normalisation; "
                "set backbone.norm=batch"
            )


def _first_norm(network: Network, x: Tensor, done: set[nn.Module]) -> nn.Module | None:
    """The first layer of batch normalisation on the features' way that is not done."""
    seen: list[nn.Module] = []
    norms = [m for m in network.modules() if isinstance(m, BatchNorm)]
    handles = [m.register_forward_hook(lambda m, i, o: seen.append(m)) for m in norms]
    network.features(x[:2])
    for handle in handles:
        handle.remove()
    return next((module for module in seen if module not in done), None)


def _take_statistics(network: Network, layer: nn.Module, batches: list[Tensor]) -> None:
    """Set the running mean and the (unbiased) variance to those of the layer's own inputs."""
    count, total, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
    values: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda m, i: values.append(i[0]))
    for x in batches:
        network.features(x)
        flat = values.pop().transpose(0, 1).flatten(1).double()  # [channels, examples x positions]
        count += flat.shape[1]
        total = total.to(flat) + flat.sum(1)
        squares = squares.to(flat) + flat.square().sum(1)
    handle.remove()
    mean = total / count
    variance = (squares / count - mean.square()) * (count / max(1, count - 1))
    assert isinstance(layer.running_mean, Tensor)
    assert isinstance(layer.running_var, Tensor)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance.clamp(min=0.0))
