"""Augmentations are keyed for each example, and are torchvision's own."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from aetl.corruption.augmentation import Augmentation
from aetl.rng import Rng, key_seed
from aetl.types import UserError

BILINEAR = InterpolationMode.BILINEAR
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


ODD = {"scale": [0.5, 2.0], "shear": [-20, 20, -10, 30], "center": [2.0, 5.0]}
WHOLE = {
    "defaults": [
        v2.RandomAffine(degrees=15, translate=[0.1, 0.1], scale=[0.9, 1.1]),
        v2.RandomErasing(p=0.5, scale=[0.02, 0.2]),
    ],
    "affine": [v2.RandomAffine(degrees=180, translate=[0.3, 0.1], **ODD)],
    "bilinear": [v2.RandomAffine(degrees=30, interpolation=BILINEAR, **ODD)],
    "filled": [v2.RandomAffine(degrees=30, fill=0.3), v2.RandomAffine(degrees=0, shear=9, fill=1)],
    "filled, bilinear": [v2.RandomAffine(degrees=30, fill=0.3, interpolation=BILINEAR)],
    "erased": [v2.RandomErasing(p=0.9, value=[0.1, 0.2, 0.3]), v2.RandomErasing(value=1)],
    "flips": [v2.RandomHorizontalFlip(0.3), v2.RandomVerticalFlip(), v2.RandomHorizontalFlip(1)],
}
ONE_BY_ONE = {
    "another": [v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=0.5)],
    "noise": [v2.RandomErasing(p=1.0, value="random")],
    "a fill for each channel": [v2.RandomAffine(degrees=30, fill=[0.1, 0.2, 0.3])],
}


@pytest.mark.parametrize("size", [(9, 8), (28, 28)])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_batch_gets_what_its_images_get_one_by_one(
    name: str, size: tuple[int, int]
) -> None:
    x = torch.rand(40, 3, *size, generator=torch.Generator().manual_seed(1))
    whole, one_by_one = (Augmentation(transforms=WHOLE[name]) for _ in range(2))
    assert whole.kernels
    one_by_one.kernels = []
    expected = one_by_one(x, Rng.of(7))
    assert not torch.equal(expected, x)
    assert torch.equal(whole(x, Rng.of(7)), expected)


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_other_transforms_take_images_one_by_one(name: str) -> None:
    x, transforms = images(), ONE_BY_ONE[name]
    augmentation = Augmentation(transforms=transforms)
    assert not augmentation.kernels
    altered = augmentation(x, Rng.of(3))
    torch.manual_seed(key_seed(3, 5))
    assert torch.equal(altered[5], v2.Compose(transforms)(x[5]))


def test_half_precision_moves_nothing() -> None:
    augmentation = Augmentation(transforms=TRANSFORMS)
    expected = augmentation(images(), Rng.of(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = augmentation(images(), Rng.of(0))
    assert torch.equal(found, expected)


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
