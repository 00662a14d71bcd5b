"""Pixel errors and structural dissimilarity against definitions by hand and torchmetrics."""

from __future__ import annotations

from math import cosh, log

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from aetl.loss.huber import Huber
from aetl.loss.l1 import L1
from aetl.loss.log_cosh import LogCosh
from aetl.loss.ssim import SSIM
from aetl.types import UserError
from tests.loss.draw import normal


def test_l1_and_log_cosh_and_huber_are_their_definitions_summed() -> None:
    r, x = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    errors = (r - x).flatten(1).tolist()

    def huber(e: float) -> float:
        return 0.5 * e**2 if abs(e) <= 0.5 else 0.5 * (abs(e) - 0.25)

    for term, definition in (
        (L1(weight=1.0), abs),
        (LogCosh(weight=1.0, a=3.0), lambda e: log(cosh(3.0 * e)) / 3.0),
        (Huber(weight=1.0, delta=0.5), huber),
    ):
        expected = [sum(definition(e) for e in row) for row in errors]
        assert term(r, x).tolist() == pytest.approx(expected, rel=1e-10)


def test_log_cosh_is_finite_and_linear_far_from_zero() -> None:
    far = torch.tensor([[1e4], [-1e4]], dtype=torch.float64)
    value = LogCosh(weight=1.0, a=10.0)(far, torch.zeros_like(far))
    assert value.tolist() == pytest.approx([1e4 - log(2) / 10] * 2)


def test_ssim_is_that_of_torchmetrics() -> None:
    x, r = torch.sigmoid(normal(2, 3, 16, 20)), torch.sigmoid(normal(2, 3, 16, 20, seed=1))
    for b in (r, 0.7 * x + 0.3 * r):
        _, image = structural_similarity_index_measure(
            b, x, sigma=1.5, data_range=1.0, return_full_image=True
        )
        # torchmetrics pads by reflection; what its padding does not reach is ours.
        similarity = image[..., 5:-5, 5:-5].flatten(1).mean(1)
        value = SSIM(weight=1.0, window=11, sigma=1.5)(b, x)
        torch.testing.assert_close(value, (1 - similarity) * 960, rtol=1e-6, atol=1e-6)


def test_ssim_of_the_smallest_window_is_equation_13_by_hand() -> None:
    """A window of one pixel has no variance: only the luminance is left."""
    x, r = torch.sigmoid(normal(2, 1, 1, 1)), torch.sigmoid(normal(2, 1, 1, 1, seed=1))
    expected = 1 - (2 * x * r + 1e-4) / (x**2 + r**2 + 1e-4)
    value = SSIM(weight=1.0, window=11, sigma=1.5)(r, x)
    torch.testing.assert_close(value, expected.flatten())


def test_ssim_is_zero_at_equality_and_takes_images_smaller_than_its_window() -> None:
    x = torch.sigmoid(normal(2, 3, 7, 5))
    term = SSIM(weight=1.0, window=11, sigma=1.5)
    torch.testing.assert_close(term(x, x), x.new_zeros(2))
    assert (term(1 - x, x) > 0).all()


def test_ssim_refuses_vectors_and_even_windows() -> None:
    with pytest.raises(UserError, match="loss=mse"):
        SSIM(weight=1.0, window=11, sigma=1.5)(normal(2, 5), normal(2, 5))
    with pytest.raises(UserError, match="window=8"):
        SSIM(weight=1.0, window=8, sigma=1.5)
