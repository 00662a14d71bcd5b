"""The strength of a corruption follows the progress of training, through the real stage too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.gaussian import Gaussian
from aetl.corruption.masking import Masking
from aetl.corruption.patch_masking import PatchMasking
from aetl.corruption.salt_and_pepper import SaltAndPepper
from aetl.corruption.strength import Ramp
from aetl.rng import Rng
from aetl.types import UserError
from tests.tiny import MLP, World

RAMP = Ramp(start=0.8, end=0.2, fraction=0.5)


@pytest.mark.parametrize("progress, expected", [(0.0, 0.8), (0.25, 0.5), (0.5, 0.2), (1.0, 0.2)])
def test_a_ramp_is_linear_and_then_constant(progress: float, expected: float) -> None:
    assert RAMP.at(progress) == pytest.approx(expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: Gaussian(std=s),
        lambda s: Masking(fraction=s),
        lambda s: SaltAndPepper(fraction=s),
        lambda s: PatchMasking(size=2, fraction=s),
    ],
    ids=["gaussian", "masking", "salt and pepper", "patch masking"],
)
@pytest.mark.parametrize("progress", [0.0, 0.25, 0.9])
def test_a_scheduled_corruption_is_the_plain_one_of_that_moment(make: Any, progress: float) -> None:
    x = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rng = replace(Rng.of(1), progress=progress).fork("corruption")
    expected = make(RAMP.at(progress))(x, Rng.of(1).fork("corruption"))
    assert torch.equal(make(RAMP)(x, rng), expected)


class Noted(Corruption):
    """Notes at which moments it was asked."""

    seen: ClassVar[list[float]] = []

    def __call__(self, x: Tensor, rng: Rng) -> Tensor:
        Noted.seen.append(rng.progress)
        return x


def test_training_tells_how_much_of_it_is_done(tmp_path: Path) -> None:
    Noted.seen = []
    noted = ("corruption._target_=tests.corruption.test_strength.Noted", "~corruption.std")
    steps = ("pretrain.max_steps=5", "source.validation_fraction=0.0")
    World(tmp_path, *MLP, "corruption=gaussian", *noted, *steps).pretrain()
    assert Noted.seen == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize(
    "make",
    [
        lambda s: Masking(fraction=s),
        lambda s: SaltAndPepper(fraction=s),
        lambda s: PatchMasking(size=2, fraction=s),
    ],
    ids=["masking", "salt and pepper", "patch masking"],
)
@pytest.mark.parametrize("start, end", [(5.0, 0.2), (0.2, 1.5)])
def test_a_ramp_of_a_fraction_stays_one(make: Any, start: float, end: float) -> None:
    with pytest.raises(UserError, match="corruption.fraction: is .*; expected 0 to 1"):
        make(Ramp(start=start, end=end, fraction=0.5))
    Gaussian(std=Ramp(start=start, end=end, fraction=0.5))  # a deviation may be any
