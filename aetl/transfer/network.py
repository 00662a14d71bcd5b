"""The network that a transfer trains: an autoencoder's encoder under a head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every submodule has its own mode again (frozen ones: eval)."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Representation:
    """Which features transfer sees: the latent or a layer, pooled over positions or not."""

    def __init__(self, *, layer: str, pool: bool) -> None:
        self.layer = layer
        self.pool = pool

    def __call__(
        self, autoencoder: Autoencoder, x: Tensor, layer: str | None = None
    ) -> Float[Tensor, "B F"]:
        """Of the config's layer, or of another."""
        features = autoencoder.features(x, self.layer if layer is None else layer)
        if self.pool and features.dim() == 4:
            features = features.mean((2, 3))
        return features.flatten(1)


class Network(nn.Module):
    """``head(features(x))``, shifted and scaled to the target's own units."""

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        representation: Representation,
        output_dim: int,
        location: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.representation = representation
        self.feature_dim = self._probe_feature_dim()
        self.head = nn.Linear(self.feature_dim, output_dim)
        self.register_buffer("location", torch.tensor(location))
        self.register_buffer("scale", torch.tensor(scale))

    def features(self, x: Float[Tensor, "B ..."], layer: str | None = None) -> Float[Tensor, "B F"]:
        return self.representation(self.autoencoder, x, layer)

    def output(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        raw: Tensor = self.head(features)
        return self.location + self.scale * raw

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        return self.output(self.features(x))

    def in_use(self) -> dict[str, nn.Parameter]:
        """The parameters that the prediction depends on (no decoder, no log-variance), by name.

        Found by asking autograd, so that it holds for any autoencoder.
        """
        parameters = {name: p for name, p in self.named_parameters() if p.requires_grad}
        with evaluating(self), torch.enable_grad():
            x = torch.rand(2, *self.autoencoder.shape, device=self.scale.device).to(self.scale)
            total = self(x).sum()
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        return {
            name: parameter
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
            if gradient is not None  # type: ignore[redundant-expr]  # autograd gives None too
        }

    def _probe_feature_dim(self) -> int:
        with evaluating(self.autoencoder), torch.no_grad():
            features = self.features(torch.zeros(1, *self.autoencoder.shape))
        return int(features.shape[1])
