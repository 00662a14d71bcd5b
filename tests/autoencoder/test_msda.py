"""mSDA against least squares over every masking, written out."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from aetl.autoencoder.msda import MSDA
from aetl.types import UserError
from tests.loss.draw import normal


def by_enumeration(x: torch.Tensor, noise: float) -> torch.Tensor:
    """Weighted least squares of the clean inputs on all ``2^D`` masked copies of each."""
    rows, targets = [], []
    for mask in product((0.0, 1.0), repeat=x.shape[1]):
        kept = torch.tensor(mask, dtype=torch.float64)
        probability = torch.prod(kept * (1 - noise) + (1 - kept) * noise)
        masked = torch.cat([x * kept, torch.ones(len(x), 1, dtype=torch.float64)], 1)
        rows.append(probability.sqrt() * masked)
        targets.append(probability.sqrt() * x)
    return torch.linalg.lstsq(torch.cat(rows), torch.cat(targets)).solution.T


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.5])
def test_each_layer_is_the_best_denoiser_over_all_maskings(noise: float) -> None:
    x = 0.5 + normal(30, 4)
    model = MSDA((4,), layers=2, noise=noise, ridge=0.0, concatenate=True).double()
    model.fit(x)
    hidden = x
    for layer in model.encoder:
        expected = by_enumeration(hidden, noise)
        torch.testing.assert_close(layer.weight.detach(), expected[:, :-1], rtol=1e-7, atol=1e-8)
        torch.testing.assert_close(layer.bias.detach(), expected[:, -1], rtol=1e-7, atol=1e-8)
        hidden = torch.tanh(hidden @ expected[:, :-1].T + expected[:, -1])
    torch.testing.assert_close(model.features(x)[:, -4:], hidden)
    torch.testing.assert_close(model.features(x)[:, :4], x)
    torch.testing.assert_close(model.features(x, "encoder.1"), hidden)


def test_ridge_shrinks_as_ridge_regression_does() -> None:
    """At no noise a layer regresses on itself: W = S (S + ridge)^-1 of the extended inputs."""
    x = normal(20, 3)
    model = MSDA((3,), layers=1, noise=0.0, ridge=2.0, concatenate=False).double()
    model.fit(x)
    extended = torch.cat([x, torch.ones(20, 1).double()], 1)
    s = extended.T @ extended
    expected = s[:3] @ torch.linalg.inv(s + 2.0 * torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(model.encoder[0].weight.detach(), expected[:, :3])
    torch.testing.assert_close(model.encoder[0].bias.detach(), expected[:, 3])


def test_decoder_is_the_regression_of_the_input_on_the_last_layer() -> None:
    x = 0.5 + normal(40, 2, 2)
    for concatenate in (False, True):
        model = MSDA((2, 2), layers=2, noise=0.5, ridge=1e-10, concatenate=concatenate).double()
        model.fit(x)
        h = torch.cat([model.features(x)[:, -4:], torch.ones(40, 1).double()], 1)
        solution = torch.linalg.lstsq(h, x.flatten(1)).solution
        expected = (h @ solution).view_as(x)
        torch.testing.assert_close(model(x).reconstruction, expected, rtol=1e-5, atol=1e-6)


def test_noise_of_one_leaves_nothing_to_learn_from() -> None:
    with pytest.raises(UserError, match="noise=1.0"):
        MSDA((3,), layers=1, noise=1.0, ridge=0.0, concatenate=True)
