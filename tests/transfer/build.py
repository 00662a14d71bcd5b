"""Small networks and steps for the tests of strategies, without a pipeline around them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from aetl.autoencoder.composite import Composite
from aetl.backbone.base import Backbone
from aetl.backbone.conv import Conv
from aetl.backbone.mlp import MLP
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from aetl.rng import Rng
from aetl.transfer.base import Step, Stream
from aetl.transfer.network import Network, Representation

SHAPE = (1, 4, 4)
CLASSES = 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small_network(backbone: str = "mlp", seed: int = 0) -> Network:
    """Two encoder layers with batch normalisation, a latent of four, three classes."""
    parts: dict[str, Backbone] = {
        "mlp": MLP(hidden=[6, 5], activation="tanh", norm="batch", dropout=0.0),
        "conv": Conv(channels=[3, 4], kernel_size=3, activation="tanh", norm="batch", dropout=0.0),
    }
    torch.manual_seed(seed)
    autoencoder = Composite(
        SHAPE,
        corruption=NoCorruption(),
        backbone=parts[backbone],
        bottleneck=partial(Linear, latent_dim=4, activation="none"),
    )
    representation = Representation(layer="latent", pool=False)
    return Network(autoencoder, representation, CLASSES, 0.0, 1.0).eval()


def stream(network: Network, x: Tensor) -> Stream:
    features = network.features(x)
    y = torch.arange(len(x)) % CLASSES
    return Stream(x, y, torch.ones(len(x)), features, network.output(features))


def step(network: Network, progress: float = 0.5, **inputs: Tensor) -> Step:
    """A step with a stream for each of ``inputs``; its reconstruction loss is the squared error."""

    def squared_error(x: Tensor, rng: Rng) -> Tensor:
        reconstruction = network.autoencoder(x, rng).reconstruction
        return (reconstruction - x).square().flatten(1).sum(1)

    return Step(
        network,
        {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
        {name: stream(network, x) for name, x in inputs.items()},
        progress,
        Rng.of("test"),
        squared_error,
    )
