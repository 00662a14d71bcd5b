"""Measures of the latent's use at known truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.monitor import (
    Vitals,
    active_units,
    effective_rank,
    perplexity,
    usage,
    vitals,
)
from aetl.bottleneck.normal import NormalCode
from aetl.bottleneck.vector_quantized import QuantizedCode
from aetl.rng import Rng
from aetl.types import Code, Output


def test_units_that_hardly_vary_are_not_active() -> None:
    means = torch.randn(5000, 4) * torch.tensor([1.0, 0.11, 0.09, 0.0]) + 3.0
    assert active_units(means) == 2  # variances 1, 0.0121, 0.0081, 0
    assert active_units(means, threshold=0.005) == 3


def test_equal_singular_values_have_full_rank_and_one_direction_has_rank_one() -> None:
    q, _ = torch.linalg.qr(torch.randn(20, 5))
    assert effective_rank(3.0 * q) == pytest.approx(5.0)
    assert effective_rank(torch.outer(torch.randn(20), torch.randn(5))) == pytest.approx(1.0, 1e-4)
    assert effective_rank(torch.zeros(4, 3)) == 0.0


def test_effective_rank_is_the_entropy_of_numpys_singular_values() -> None:
    features = torch.randn(30, 6, dtype=torch.float64)
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    assert effective_rank(features) == pytest.approx(np.exp(entropy(singular)))


def test_perplexity_counts_codes_that_are_used_alike() -> None:
    assert perplexity(torch.tensor([[0, 3], [3, 0]]), 10) == pytest.approx(2.0)
    assert perplexity(torch.tensor([7, 7, 7]), 10) == pytest.approx(1.0)
    counts = [3, 1, 0, 4]
    index = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    assert perplexity(index, 4) == pytest.approx(float(np.exp(entropy(counts))))


def test_usage_counts_codes_that_are_used_at_all() -> None:
    assert usage(torch.tensor([[0, 3], [3, 9]]), 10) == pytest.approx(0.3)


class Said(Autoencoder):
    """An autoencoder that gives the features and the code that it is told."""

    def __init__(self, features: Tensor, code: Code) -> None:
        super().__init__()
        self.given, self.code = features, code

    def forward(self, x: Tensor, rng: Rng | None = None) -> Output:
        return Output(x, x, self.code)

    def features(self, x: Tensor, layer: str = "latent") -> Tensor:
        return self.given

    def decode(self, z: Tensor) -> Tensor:
        return z

    def layers(self) -> list[tuple[str, nn.Module]]:
        return []


def said(features: Tensor, code: Code | None = None) -> Vitals:
    code = Code(features) if code is None else code
    return vitals(Said(features, code), torch.zeros(len(features), 3))


def test_a_latent_in_use_has_vital_signs_and_no_warning() -> None:
    z = torch.randn(200, 10)
    found = said(z, NormalCode(z, z, torch.zeros_like(z)))
    assert found.values == {"effective_rank": effective_rank(z), "active_units": 10.0}
    assert found.warnings == ()


def test_a_posterior_that_is_the_prior_is_called_collapsed() -> None:
    z = torch.randn(200, 20) * torch.tensor([1.0] + 19 * [0.01])
    found = said(torch.randn(200, 20), NormalCode(z, z, torch.zeros_like(z)))
    assert found.values["active_units"] == 1.0
    assert found.warnings == ("posterior collapse: 1 of 20 latents are active",)
    two = torch.randn(200, 20) * torch.tensor([1.0, 1.0] + 18 * [0.01])
    assert said(torch.randn(200, 20), NormalCode(two, two, two)).warnings == ()


def test_features_along_one_line_are_called_collapsed() -> None:
    line = torch.outer(torch.randn(50), torch.randn(40))
    assert said(line).warnings == (
        "dimensional collapse: the features have effective rank 1.0 of 40",
    )
    assert said(torch.randn(50, 1)).warnings == ()
    assert said(torch.zeros(50, 1)).warnings == ()  # one dimension cannot collapse to fewer
    assert said(torch.zeros(50, 2)).warnings != ()
    assert said(torch.full((5, 4), torch.nan)).warnings == ("the features are not finite",)


def test_codes_that_nothing_takes_are_called_dead() -> None:
    z = torch.randn(64, 6)
    tokens = z[:, None]
    few = QuantizedCode(z, tokens, tokens, torch.arange(64)[:, None] % 3, 100)
    found = said(z, few)
    assert found.values["codes_used"] == 3.0
    assert found.values["codebook_perplexity"] == pytest.approx(3.0, rel=1e-3)
    even = 100 * (1 - 0.99**64)
    assert found.warnings == (
        f"dead codes: 3 of 100 codes are used (even use would take {even:.0f})",
    )
    many = QuantizedCode(z, tokens, tokens, torch.arange(64)[:, None] % 30, 100)
    assert said(z, many).warnings == ()
