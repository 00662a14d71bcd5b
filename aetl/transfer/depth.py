"""The layers of a transferred network in the order of the data, for strategies that go by depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from aetl.transfer.network import Network


def encoder_layers(network: Network) -> list[tuple[str, nn.Module]]:
    """The layers that the features pass through, by name, from the input on."""
    used = {id(parameter) for parameter in network.in_use().values()}
    return [
        (name, layer)
        for name, layer in network.autoencoder.layers()
        if any(id(parameter) in used for parameter in layer.parameters())
    ]


def by_depth(network: Network) -> list[list[nn.Parameter]]:
    """The encoder's parameters in use, layer by layer; those of no layer count to the first."""
    rest = {id(p): p for name, p in network.in_use().items() if not name.startswith("head.")}
    layers = []
    for _, layer in encoder_layers(network):
        layers.append([rest.pop(id(p)) for p in layer.parameters() if id(p) in rest])
    if not layers:
        return [list(rest.values())]
    layers[0] = [*rest.values(), *layers[0]]
    return layers


def head_parameters(network: Network) -> list[nn.Parameter]:
    return list(network.head.parameters())


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Every module in eval mode inside, and as it was before afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def layer_outputs(
    network: Network, x: Tensor, state: dict[str, Tensor] | None
) -> dict[nn.Module, Tensor]:
    """What each encoder layer gives for ``x``, by the network's own weights or by others.

    With ``state`` (weights by name) in eval mode and without gradients. In the order in which the
    layers answer, which need not be theirs (a ladder goes up and down again).
    """
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        latent = getattr(output, "latent", output)  # a bottleneck gives a code
        if isinstance(latent, Tensor):
            outputs[module] = latent

    handles = [layer.register_forward_hook(keep) for _, layer in encoder_layers(network)]
    try:
        if state is None:
            network(x)
        else:
            own = {name: tensor.to(x.device) for name, tensor in state.items()}
            with torch.no_grad(), eval_mode(network):
                torch.func.functional_call(network, own, (x,))
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def features_at(network: Network, x: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """The features of ``x`` by other weights (by name), in eval mode and without gradients."""
    seen: list[Tensor] = []
    handle = network.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        own = {name: tensor.to(x.device) for name, tensor in state.items()}
        with torch.no_grad(), eval_mode(network):
            torch.func.functional_call(network, own, (x,))
    finally:
        handle.remove()
    return seen[0]
