"""Augmentations are keyed for each example, and are torchvision's own."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from aetl.corruption.augmentation import Augmentation
from aetl.rng import Rng, key_seed
from aetl.types import UserError

TRANSFORMS = [v2.RandomAffine(degrees=30, translate=[0.2, 0.2]), v2.RandomHorizontalFlip()]


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 9, 8, generator=generator).expand(6, -1, -1, -1)


def test_every_example_has_an_augmentation_of_its_own() -> None:
    altered = Augmentation(transforms=TRANSFORMS)(images(), Rng.of(0))
    assert len(altered.flatten(1).unique(dim=0)) == 6


def test_it_is_what_the_transforms_do_under_the_examples_seed() -> None:
    x, rng = images(), Rng.of(3, "corruption")
    altered = Augmentation(transforms=TRANSFORMS)(x, rng)
    for position in (0, 4):
        torch.manual_seed(key_seed(3, "corruption", position))
        assert torch.equal(altered[position], v2.Compose(TRANSFORMS)(x[position]))


def test_an_examples_augmentation_follows_from_its_place_and_not_from_the_others() -> None:
    x = images()
    augmentation = Augmentation(transforms=TRANSFORMS)
    whole = augmentation(x, Rng.of(0))
    assert torch.equal(augmentation(x[:3], Rng.of(0)), whole[:3])


def test_the_global_source_is_where_it_was() -> None:
    before = torch.random.get_rng_state()
    Augmentation(transforms=TRANSFORMS)(images(), Rng.of(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_vectors_and_transforms_that_change_the_size_are_refused() -> None:
    with pytest.raises(UserError, match="takes images"):
        Augmentation(transforms=TRANSFORMS)(torch.rand(2, 9), Rng.of(0))
    with pytest.raises(UserError, match="a corruption keeps the shape"):
        Augmentation(transforms=[v2.Resize((4, 4))])(images(), Rng.of(0))
