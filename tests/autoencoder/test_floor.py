"""The floor of principal components, and what keeps an autoencoder from it."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.decomposition import PCA as SkPCA

from aetl.autoencoder.floor import below_floor, causes, principal_error, still_falling
from aetl.bottleneck.normal import NormalCode
from aetl.bottleneck.vector_quantized import QuantizedCode
from aetl.types import Code


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_floor_is_the_error_of_scikit_learns_components() -> None:
    train, x = normal(60, 1, 3, 3).float(), normal(20, 1, 3, 3).float() * 2
    reference = SkPCA(4).fit(train.flatten(1).numpy())
    flat = x.flatten(1).numpy()
    back = reference.inverse_transform(reference.transform(flat))
    assert principal_error(train, x, 4) == pytest.approx(((back - flat) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(("number", "size"), [(60, 9), (60, 12), (5, 4)])
def test_as_many_components_as_directions_are_no_floor(number: int, size: int) -> None:
    assert principal_error(normal(number, 9).float(), normal(3, 9).float(), size) is None


def test_only_an_error_clearly_above_the_floor_or_no_number_is_told() -> None:
    assert below_floor(0.109, 0.1, 4, []) is None
    assert below_floor(9.0, None, 4, []) is None
    line = below_floor(0.2, 0.1, 4, ["one", "two"])
    assert line is not None
    assert "worse than 0.1 of 4 principal components: one; two" in line
    assert below_floor(math.nan, 0.1, 4, []) is not None


def test_causes_name_what_is_there_and_nothing_else() -> None:
    z = normal(100, 3).float()
    assert causes(Code(z), [], (1.0, 1.4), []) == []
    half = torch.cat([z, 0.01 * z], 1)
    code = NormalCode(half, half, torch.zeros_like(half))
    assert causes(code, [], (1.0, 1.0), []) == ["3 of 6 latents are active"]
    index = torch.zeros(100, 2, dtype=torch.int64)
    parts = z.view(100, 1, 3).expand(100, 2, 3)
    tokens = QuantizedCode(parts, parts, parts, index, 16)
    assert causes(tokens, [], (1.0, 1.0), []) == ["its code is discrete (2 of 16 codes, 8 bits)"]
    found = causes(Code(z), ["kl"], (1.0, 1.6), [9.0 - 0.2 * k for k in range(40)])
    assert [line.split(" (")[0] for line in found] == [
        "the loss asks for more than reconstruction",
        "it knows its training examples by heart",
        "the loss was still falling",
    ]


def test_a_loss_that_has_settled_or_rises_is_not_still_falling() -> None:
    assert still_falling([-float(k) for k in range(20)])  # below zero, too
    assert not still_falling([2.0**-k for k in range(20)])
    assert not still_falling([1.0, 0.5, *[0.6 + 0.01 * k for k in range(18)]])
    assert not still_falling([3.0, 2.0])
