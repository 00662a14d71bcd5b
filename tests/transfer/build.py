"""Small networks and steps for the tests of strategies, without a pipeline around them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from aetl.autoencoder.composite import Composite
from aetl.backbone.base import Backbone
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.task.classification import Classification
from aetl.transfer.base import Part, Step, Stream, View
from aetl.transfer.network import Network, Representation
from tests.backbones import conv, mlp

SHAPE = (1, 4, 4)
CLASSES = 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small_network(backbone: str = "mlp", seed: int = 0) -> Network:
    """Two encoder layers with batch normalisation, a latent of four, three classes."""
    parts: dict[str, Backbone] = {
        "mlp": mlp(6, 5, norm="batch"),
        "conv": conv(3, 4, norm="batch"),
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
        Classification(),
        {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
        {name: stream(network, x) for name, x in inputs.items()},
        progress,
        Rng.of("test"),
        squared_error,
    )


def examples(x: Tensor, y: Tensor | None = None) -> Examples:
    """Inputs as they are, with labels 0, 1, 2, 0, ... or the given ones."""
    y = torch.arange(len(x)) % CLASSES if y is None else y
    return Examples(x, y, tuple("abc"), np.arange(len(x), dtype=np.uint64))


def view(network: Network, **parts: Tensor | Examples) -> View:
    """What a strategy may see that declares exactly these parts."""
    given: dict[Part, Examples] = {
        name: part if isinstance(part, Examples) else examples(part)  # type: ignore[misc]
        for name, part in parts.items()
    }

    def features(of: Examples, layer: str | None) -> Tensor:
        with torch.no_grad():
            return network.features(of.inputs(), layer)

    return View("test", frozenset(given), given, features, Rng.of("test", "view"))
