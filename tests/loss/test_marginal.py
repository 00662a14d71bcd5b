"""Importance sampling where the likelihood is known: a linear decoder of normal latents."""

from __future__ import annotations

from math import log, pi

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from aetl.autoencoder.base import Autoencoder
from aetl.bottleneck.normal import NormalCode
from aetl.loss.kl import StandardNormalKL
from aetl.loss.marginal import likelihood_of, negative_log_likelihood
from aetl.loss.mse import SquaredError
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.types import DoesNotFit, Output

torch.manual_seed(0)
W, B = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
NOISE = 0.7
X = (torch.randn(6, 2, dtype=torch.float64) @ W.T + B) + 0.3


class Linear(Autoencoder):
    """``x = W z + b + noise``; its posterior is normal, and given a width for each latent."""

    shape = (5,)
    latent_shape = (2,)

    def __init__(self, widen: float = 0.0) -> None:
        super().__init__()
        precision = torch.eye(2, dtype=torch.float64) + W.T @ W / NOISE**2
        self.gain = torch.linalg.solve(precision, W.T) / NOISE**2
        self.variance, self.widen = torch.linalg.inv(precision).diagonal(), widen

    def forward(self, x: Tensor, rng: Rng | None = None) -> Output:
        mean = self.features(x)
        code = NormalCode(mean, mean, self.variance.log().expand_as(mean) + self.widen)
        return Output(self.decode(mean), x, code)

    def features(self, x: Tensor, layer: str = "latent") -> Tensor:
        return (x - B) @ self.gain.T

    def decode(self, z: Tensor) -> Tensor:
        return z @ W.T + B

    def layers(self) -> list[tuple[str, nn.Module]]:
        return []


def truth(x: Tensor = X) -> Tensor:
    covariance = W @ W.T + NOISE**2 * torch.eye(5, dtype=torch.float64)
    return -MultivariateNormal(B, covariance).log_prob(x)


def objective() -> Objective:
    return Objective({"likelihood": Normal(), "kl": StandardNormalKL(weight=1.0)})


class Normal(SquaredError):
    """The exact negative log-likelihood of the noise."""

    role = "likelihood"

    def __init__(self) -> None:
        super().__init__(weight=1.0)

    def forward(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        each = 0.5 * ((x - reconstruction) / NOISE) ** 2 + 0.5 * log(2 * pi * NOISE**2)
        return each.sum(1)


def test_many_samples_give_the_known_likelihood() -> None:
    found = negative_log_likelihood(Linear(0.5), objective(), X, 20_000)
    torch.testing.assert_close(found, truth(), rtol=0, atol=0.02)


def test_more_samples_come_nearer_from_above() -> None:
    x = X.repeat(100, 1) + 0.1 * torch.randn(600, 5, dtype=torch.float64)
    known, exact = truth(x), objective()
    gaps = [
        float((negative_log_likelihood(Linear(1.0), exact, x, k) - known).mean())
        for k in (1, 10, 1000)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > -0.02


def test_an_example_has_its_number_whoever_is_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = negative_log_likelihood(Linear(), objective(), X, 50)
    alone = torch.cat([
        negative_log_likelihood(Linear(), objective(), x[None], 50)
        for x in X
    ])  # fmt: skip
    torch.testing.assert_close(whole, alone, rtol=1e-10, atol=0)
    monkeypatch.setattr("aetl.loss.marginal.ROWS", 12)  # in parts
    parts = negative_log_likelihood(Linear(), objective(), X, 50)
    torch.testing.assert_close(whole, parts, rtol=1e-10, atol=0)


@pytest.mark.parametrize("samples", [1, 25, 30, 60])
def test_as_many_are_drawn_as_are_asked_for(samples: int) -> None:
    """In blocks, of which the last is what is left."""

    class Counted(Linear):
        drawn = 0

        def decode(self, z: Tensor) -> Tensor:
            self.drawn += len(z)
            return super().decode(z)

    counted = Counted()
    negative_log_likelihood(counted, objective(), X, samples)
    assert counted.drawn == (samples + 1) * len(X)  # and one reconstruction of each


def test_a_loss_without_a_bound_is_refused() -> None:
    for terms in ({"mse": SquaredError(weight=1.0)}, {"likelihood": Normal()}):
        with pytest.raises(DoesNotFit, match="no bound"):
            likelihood_of(terms)
    assert isinstance(likelihood_of({"g": Normal(), "kl": StandardNormalKL(weight=0.1)}), Normal)
