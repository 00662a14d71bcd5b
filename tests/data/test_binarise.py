"""Black and white images drawn from grey ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import kstest

from aetl.data.base import Examples, identity_of
from aetl.data.binarise import black_and_white
from aetl.data.loader import Loader
from aetl.rng import Rng, uniform_by_key

GREY = (torch.arange(256, dtype=torch.uint8).repeat(4, 1) * 1).view(4, 1, 16, 16)


def grey(number: int) -> torch.Tensor:
    noise = torch.randint(0, 255, (number, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    return noise.to(torch.uint8)


def test_numbers_by_key_are_uniform_and_of_each_key_alone() -> None:
    keys = np.arange(200, dtype=np.uint64)
    found = uniform_by_key(keys, 500)
    assert kstest(found.ravel(), "uniform").pvalue > 0.01
    assert np.array_equal(uniform_by_key(keys[50:51], 500)[0], found[50])
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.2


def test_a_pixel_is_white_with_its_grey_value_as_probability() -> None:
    x = torch.full((4000, 1, 2, 2), 64, dtype=torch.uint8)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 0, 255
    keys = np.arange(4000, dtype=np.uint64)
    found = black_and_white(x, keys, "fixed")
    assert set(found.unique().tolist()) == {0, 255}
    share = (found == 255).float().mean((0, 1))
    assert share[0, 0] == 0
    assert share[0, 1] == 1
    assert abs(float(share[1, 0]) - 64 / 255) < 0.03
    assert torch.equal(black_and_white(x, keys, "threshold")[0, 0, 1], torch.zeros(2).byte())


def test_an_image_is_drawn_alike_whatever_is_beside_it() -> None:
    x = grey(20)
    whole = black_and_white(x, identity_of(x), "fixed")
    part = black_and_white(x[7:9], identity_of(x[7:9]), "fixed")
    assert torch.equal(whole[7:9], part)


def test_training_draws_anew_in_each_epoch_and_on_two_processes_as_on_one() -> None:
    x = grey(12)
    examples = replace(Examples.of(x, torch.zeros(12).long(), ("a",)), redrawn=True)

    def epoch(number: int, rank: int = 0, world: int = 1) -> list[torch.Tensor]:
        loader = Loader(examples, np.arange(12), batch_size=6, rng=Rng.of(0), shuffle=True)
        loader.epoch, loader.rank, loader.world = number, rank, world
        return [batch.x for batch in loader]

    first, again, other = epoch(0), epoch(0), epoch(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert set(torch.cat(first).unique().tolist()) == {0.0, 1.0}
    for joint, even, odd in zip(first, epoch(0, 0, 2), epoch(0, 1, 2), strict=True):
        assert torch.equal(joint[0::2], even)
        assert torch.equal(joint[1::2], odd)
    plain = replace(examples, redrawn=False)
    assert plain.fingerprint() != examples.fingerprint()
