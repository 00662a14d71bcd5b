"""Each change against an independent route, their order, and the noise that stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from aetl.data.shift import BLOCK, Shift
from aetl.rng import Rng
from aetl.types import UserError

NEUTRAL: dict[str, Any] = {
    "rotation": 0.0,
    "invert": False,
    "noise": 0.0,
    "blur": 0.0,
    "contrast": 1.0,
    "resize": None,
}


def shifted(x: Tensor, **keys: Any) -> Tensor:
    return Shift(**(NEUTRAL | keys)).apply(x, np.arange(len(x)), Rng.of("test"))


def images(*shape: int) -> Tensor:
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_a_neutral_shift_changes_nothing_also_of_vectors() -> None:
    vectors = torch.randn(3, 4)
    assert shifted(vectors) is vectors
    assert Shift(**NEUTRAL).name() == ""
    assert Shift(**(NEUTRAL | {"rotation": 360.0})).neutral


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_quarter_turn_is_counter_clockwise_and_exact(channels: int) -> None:
    x = images(4, channels, 9, 9)
    assert torch.equal(shifted(x, rotation=90.0), torch.rot90(x, 1, (2, 3)))


def test_inversion_and_contrast_follow_their_formulas() -> None:
    x = images(3, 3, 5, 7)
    assert torch.equal(shifted(x, invert=True), 255 - x)
    values = x.numpy().astype(np.float64)
    mean = values.mean((1, 2, 3), keepdims=True)
    expected = np.clip(np.round(mean + 1.5 * (values - mean)), 0, 255)
    np.testing.assert_allclose(shifted(x, contrast=1.5).numpy(), expected, atol=1)
    assert (shifted(x, contrast=0.0).flatten(1).diff() == 0).all()


def test_blur_is_a_gaussian_filter() -> None:
    x = images(2, 1, 20, 24)
    expected = [
        gaussian_filter(image[0].astype(np.float64), 1.5, mode="mirror", truncate=10 / 3)
        for image in x.numpy()
    ]
    np.testing.assert_allclose(shifted(x, blur=1.5).numpy()[:, 0], expected, atol=1)


def test_a_blur_wider_than_the_image_is_cut_at_its_size() -> None:
    found = shifted(images(2, 1, 5, 3), blur=30.0)
    assert found.shape == (2, 1, 5, 3)
    assert found.float().flatten(1).std(1).max() < 15


def test_resizing_is_antialiased_bilinear() -> None:
    x = images(2, 1, 28, 20)
    expected = [
        np.asarray(Image.fromarray(image[0]).resize((16, 16), Image.Resampling.BILINEAR))
        for image in x.numpy()
    ]
    np.testing.assert_allclose(shifted(x, resize=16).numpy()[:, 0], expected, atol=1)


def test_the_inversion_comes_after_the_rotation() -> None:
    found = shifted(torch.zeros(1, 1, 9, 9, dtype=torch.uint8), rotation=45.0, invert=True)
    assert (found == 255).all()


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    grey = torch.full((50, 1, 20, 20), 128, dtype=torch.uint8)
    found = shifted(grey, noise=0.1).double() / 255
    assert found.std().item() == pytest.approx(0.1, rel=0.02)
    assert found.mean().item() == pytest.approx(128 / 255, abs=0.003)


def test_noise_is_fixed_by_the_position_and_not_by_its_neighbours() -> None:
    x = torch.full((BLOCK + 40, 1, 2, 2), 128, dtype=torch.uint8)
    shift, rng = Shift(**(NEUTRAL | {"noise": 0.3})), Rng.of("test")
    whole = shift.apply(x, np.arange(len(x)), rng)
    rows = np.array([3, 500, BLOCK - 1, BLOCK, BLOCK + 39])
    assert torch.equal(shift.apply(x[rows], rows, rng), whole[rows])
    assert len(whole.unique(dim=0)) > 0.99 * len(whole)
    assert not torch.equal(shift.apply(x, np.arange(len(x)), Rng.of("other")), whole)


def test_the_noise_of_a_data_set_is_the_same_at_every_size_and_start(build) -> None:
    few, again, all_ = (
        build("digits", size=size, **{"shift.noise": 0.2}).load()[0] for size in (60, 60, None)
    )
    assert torch.equal(few.x, again.x)
    place = {int(identity): row for row, identity in enumerate(all_.identity)}
    assert torch.equal(few.x, all_.x[[place[int(identity)] for identity in few.identity]])


def test_training_and_official_test_images_get_different_noise(build, tmp_path) -> None:
    grey = np.full((4, 6, 6), 128, np.uint8)
    y = np.arange(4) % 2
    np.savez(tmp_path / "a.npz", x_train=grey, y_train=y, x_test=grey, y_test=y)
    train, test = build("npz", path=str(tmp_path / "a.npz"), **{"shift.noise": 0.2}).load()
    assert not torch.equal(train.x, test.x)


def test_only_what_is_changed_is_named() -> None:
    name = Shift(**(NEUTRAL | {"rotation": 45.0, "invert": True, "noise": 0.25})).name()
    assert name == "rotation=45, invert, noise=0.25"
    assert str(Shift(**(NEUTRAL | {"resize": 16}))) == "resize=16"


def test_an_empty_set_can_be_shifted() -> None:
    assert shifted(images(0, 1, 8, 8), resize=4, noise=0.1).shape == (0, 1, 4, 4)


def test_vectors_are_refused() -> None:
    with pytest.raises(UserError, match=r"shift \(invert\): shifts are for images"):
        shifted(torch.randn(3, 4), invert=True)


@pytest.mark.parametrize("key, value", [("noise", -1.0), ("blur", float("nan")), ("resize", 0)])
def test_a_value_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"shift\.{key}={value}: must be at least"):
        Shift(**(NEUTRAL | {key: value}))
