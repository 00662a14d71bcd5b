"""Patch masking hides exactly so many whole patches, and nothing else."""

from __future__ import annotations

import pytest
import torch

from aetl.corruption.patch_masking import PatchMasking
from aetl.rng import Rng
from aetl.types import UserError


@pytest.mark.parametrize("shape, patches", [((3, 8, 8), 16), ((1, 7, 5), 12)])
def test_so_many_whole_patches_are_zeroed_through_all_channels(
    shape: tuple[int, ...], patches: int
) -> None:
    x = 1.0 + torch.rand(6, *shape)
    damaged = PatchMasking(size=2, fraction=0.75)(x, Rng.of(0))
    for image, original in zip(damaged, x, strict=True):
        hidden = 0
        for i in range(0, shape[1], 2):
            for j in range(0, shape[2], 2):
                patch = image[:, i : i + 2, j : j + 2]
                if (patch == 0).all():
                    hidden += 1
                else:
                    assert torch.equal(patch, original[:, i : i + 2, j : j + 2])
        assert hidden == round(0.75 * patches)


def test_every_patch_is_hidden_as_often_as_any_other() -> None:
    damaged = PatchMasking(size=2, fraction=0.25)(torch.ones(8000, 1, 4, 6), Rng.of(0))
    shares = (damaged == 0).double().mean(0)[0, ::2, ::2]
    assert (shares - 2 / 6).abs().max() < 0.02  # round(0.25 * 6) = 2 of 6


def test_examples_differ_and_vectors_are_refused() -> None:
    damaged = PatchMasking(size=1, fraction=0.5)(torch.ones(2, 1, 8, 8), Rng.of(0))
    assert not torch.equal(damaged[0], damaged[1])
    with pytest.raises(UserError, match="corruption=masking"):
        PatchMasking(size=2, fraction=0.5)(torch.ones(2, 8), Rng.of(0))
