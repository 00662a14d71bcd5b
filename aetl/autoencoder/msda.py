"""Marginalised stacked denoising autoencoder (Chen, Xu, Weinberger and Sha, ICML 2012).

arXiv:1206.4683: each layer is the linear denoiser that is best in expectation over all maskings of
its input, which has a closed form; no input is ever corrupted.
"""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.closed_form import ClosedForm
from aetl.backbone.base import Shape
from aetl.ranges import Depth, Positive, Probability
from aetl.rng import Rng
from aetl.types import Code, Output, UserError


class MSDA(ClosedForm):
    """``h_l = tanh(W_l h_{l-1} + b_l)``, and as latent the last layer, or all and the input.

    ``noise`` is the probability that an element is masked, ``ridge`` is added to the diagonal of
    the second moments (sums over the examples). ``concatenate`` makes the latent ``[x, h_1, ...,
    h_L]``, as the paper's experiments do. The paper has no decoder: ours is the ridge regression of
    the input on the last layer.
    """

    def __init__(
        self, shape: Shape, *, layers: Depth, noise: Probability, ridge: Positive, concatenate: bool
    ) -> None:
        super().__init__()
        if not 0.0 <= noise < 1.0:
            raise UserError(f"autoencoder.noise={noise}: must be at least 0 and less than 1")
        dim = prod(shape)
        self.shape, self.dim = shape, dim
        self.noise, self.ridge, self.concatenate = noise, ridge, concatenate
        self.latent_shape = ((layers + 1) * dim if concatenate else dim,)
        self.encoder = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.decoder = nn.Linear(dim, dim)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "N ..."]) -> None:
        inputs = x.flatten(1).double()
        hidden = _after(self.encoder[-1], self.fit_encoder(inputs))
        extended = _extended(hidden)
        self._set(
            self.decoder,
            _regression(extended.T @ extended, inputs.T @ extended, 0.0, self.ridge),
        )

    @torch.no_grad()
    def fit_encoder(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
        """Set the layers, from inputs in double precision, and not the decoder.

        Gives what the last of them was fitted on.
        """
        for i, layer in enumerate(self.encoder):
            x = _after(self.encoder[i - 1], x) if i else x
            extended = _extended(x)
            moments = extended.T @ extended
            self._set(layer, _regression(moments, moments[:-1], self.noise, self.ridge))
        return x

    @staticmethod
    def _set(layer: nn.Module, weights: Float[Tensor, "O I"]) -> None:
        assert isinstance(layer, nn.Linear)
        layer.weight.copy_(weights[:, :-1])
        layer.bias.copy_(weights[:, -1])

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> Output:
        code = Code(self.features(x))
        return Output(self.decode(code.latent), x, code)

    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        states = [x.flatten(1)]
        for block in self.encoder:
            states.append(torch.tanh(block(states[-1])))
        names = [f"encoder.{i}" for i in range(len(self.encoder))]
        if layer in names:
            return states[names.index(layer) + 1]
        if layer != "latent":
            raise UserError(
                f"representation.layer={layer}: no such layer ({', '.join(names)}, latent)"
            )
        return torch.cat(states, 1) if self.concatenate else states[-1]

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        decoded: Tensor = self.decoder(z[:, -self.dim :])
        return decoded.view(-1, *self.shape)

    def layers(self) -> list[tuple[str, nn.Module]]:
        blocks = [(f"encoder.{i}", block) for i, block in enumerate(self.encoder)]
        return [*blocks, ("decoder", self.decoder)]


def _extended(x: Float[Tensor, "N F"]) -> Float[Tensor, "N J"]:
    """With a constant, which is never masked, as the last feature."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def _after(layer: nn.Module, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
    """What a layer gives, in the precision of its inputs whatever that of its weights."""
    assert isinstance(layer, nn.Linear)
    return torch.tanh(nn.functional.linear(x, layer.weight.to(x), layer.bias.to(x)))


def _regression(
    moments: Float[Tensor, "J J"], cross: Float[Tensor, "O J"], noise: float, ridge: float
) -> Float[Tensor, "O J"]:
    """``E[P] E[Q]^-1``: targets on masked inputs and a constant that is never masked.

    With ``q`` the probabilities to survive and ``S`` the second ``moments`` of the clean inputs,
    ``E[Q]_ij = S_ij q_i q_j`` off the diagonal, ``S_ii q_i`` on it, and of the moments of targets
    and clean inputs ``E[P]_ij = cross_ij q_j``.
    """
    survive = torch.full((len(moments),), 1.0 - noise).to(moments)
    survive[-1] = 1.0
    second = moments * torch.outer(survive, survive)
    second.diagonal().copy_(moments.diagonal() * survive + ridge)
    solution: Tensor = torch.linalg.solve(second, (cross * survive).T)
    return solution.T
