"""Structural similarity over scales against the definition, written out in NumPy."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch

from aetl.loss.ms_ssim import MSSSIM
from aetl.loss.ssim import SSIM
from aetl.types import UserError
from tests.loss.draw import normal


def by_hand(a: np.ndarray, b: np.ndarray, window: int, sigma: float, weights: list[float]) -> float:
    """MS-SSIM of two images ``H W``: every window of every scale in a loop."""
    half = window // 2
    kernel = np.array(
        [[exp(-(i**2 + j**2) / (2 * sigma**2)) for j in range(-half, half + 1)]
         for i in range(-half, half + 1)]
    )  # fmt: skip
    kernel /= kernel.sum()
    total = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            h, w = a.shape[0] // 2, a.shape[1] // 2
            a, b = (
                np.array([[z[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(w)]
                          for i in range(h)])
                for z in (a, b)
            )  # fmt: skip
        values = []
        for i in range(a.shape[0] - window + 1):
            for j in range(a.shape[1] - window + 1):
                p, q = (z[i : i + window, j : j + window] for z in (a, b))
                mp, mq = (kernel * p).sum(), (kernel * q).sum()
                vp, vq = (kernel * (p - mp) ** 2).sum(), (kernel * (q - mq) ** 2).sum()
                cov = (kernel * (p - mp) * (q - mq)).sum()
                value = (2 * cov + 9e-4) / (vp + vq + 9e-4)
                if scale == len(weights) - 1:
                    value *= (2 * mp * mq + 1e-4) / (mp**2 + mq**2 + 1e-4)
                values.append(value)
        total *= np.mean(values) ** weight
    return float(total)


@pytest.mark.parametrize("weights", [[0.3, 0.5, 0.2], [0.0448, 0.2856]])
def test_it_is_the_definition_written_out(weights: list[float]) -> None:
    x = torch.sigmoid(normal(2, 2, 21, 23))
    r = 0.6 * x + 0.4 * torch.sigmoid(normal(2, 2, 21, 23, seed=1))
    value = MSSSIM(weight=1.0, window=5, sigma=1.5, weights=weights)(r, x)
    for i in range(2):
        mean = np.mean([by_hand(r[i, c].numpy(), x[i, c].numpy(), 5, 1.5, weights) for c in (0, 1)])
        assert float(value[i]) == pytest.approx((1 - mean) * 2 * 21 * 23, rel=1e-9)


def test_one_scale_with_exponent_one_is_plain_ssim() -> None:
    x, r = torch.sigmoid(normal(2, 3, 12, 13)), torch.sigmoid(normal(2, 3, 12, 13, seed=1))
    one = MSSSIM(weight=1.0, window=7, sigma=1.5, weights=[1.0])(0.7 * x + 0.3 * r, x)
    torch.testing.assert_close(one, SSIM(weight=1.0, window=7, sigma=1.5)(0.7 * x + 0.3 * r, x))


def test_equal_images_have_no_loss_and_inverted_ones_a_finite_gradient() -> None:
    term = MSSSIM(weight=1.0, window=5, sigma=1.5, weights=[0.5, 0.5])
    x = torch.sigmoid(normal(1, 1, 12, 12))
    assert float(term(x, x)) == pytest.approx(0.0, abs=1e-9)
    r = (1 - x).requires_grad_()
    term(r, x).sum().backward()
    assert r.grad is not None
    assert torch.isfinite(r.grad).all()


@pytest.mark.parametrize("shape, said", [((1, 28, 28), "176 pixels or more"), ((9,), "loss=mse")])
def test_small_images_and_vectors_are_refused(shape: tuple[int, ...], said: str) -> None:
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    x = torch.rand(2, *shape)
    with pytest.raises(UserError, match=said):
        MSSSIM(weight=1.0, window=11, sigma=1.5, weights=weights)(x, x)
