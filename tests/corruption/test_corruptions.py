"""Corruptions: their statistics, what they leave alone, and that a key decides all."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.stats import binomtest, kstest

from aetl.config import conf_dir
from aetl.corruption.base import Corruption
from aetl.corruption.gaussian import Gaussian
from aetl.corruption.masking import Masking
from aetl.corruption.none import NoCorruption
from aetl.corruption.salt_and_pepper import SaltAndPepper
from aetl.rng import Rng
from aetl.types import Entries, told
from tests.conformance.two_threads import together

FILES = sorted((conf_dir() / "corruption").glob("*.yaml"))


def images(n: int = 200) -> torch.Tensor:
    """Values strictly between 0 and 1, so that damage is seen."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, 8, 8, generator=generator, dtype=torch.float64) * 0.8 + 0.1


def corruption_of(file: object) -> Corruption:
    made: Corruption = told(instantiate(OmegaConf.load(file)), Entries())  # type: ignore[arg-type]
    return made


def taken(corruption: Corruption, n: int) -> torch.Tensor:
    """Examples of a kind that it takes."""
    if "image" in corruption.kinds:
        return images(n)
    x = images(n).flatten(1)
    return (10 * x).round() if "tokens" in corruption.kinds else x


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_key_decides_the_corruption(file: object) -> None:
    corruption = corruption_of(file)
    x = taken(corruption, 20)
    before = x.clone()
    once = corruption(x, Rng.of(1, "corruption"))
    torch.rand(10)
    assert torch.equal(corruption(x, Rng.of(1, "corruption")), once)
    assert torch.equal(x, before)  # the clean input is the target of the reconstruction
    assert (once.shape, once.dtype) == (x.shape, x.dtype)
    if not isinstance(corruption, NoCorruption):
        assert not torch.equal(corruption(x, Rng.of(2, "corruption")), once)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_two_ranks_corrupt_their_parts_as_one_process_would(file: object) -> None:
    corruption = corruption_of(file)
    x = taken(corruption, 7)
    joint = corruption(x, Rng(("k",)))

    def part(rank: int) -> torch.Tensor:
        return corruption(x[rank::2], Rng(("k",), rank=rank, world=2, total=7))

    for rank, own in enumerate(together(part)):
        assert torch.equal(own, joint[rank::2])


def test_gaussian_noise_is_normal_with_the_given_deviation() -> None:
    x = images()
    noise = (Gaussian(std=0.3)(x, Rng.of(0)) - x).flatten() / 0.3
    assert kstest(noise.numpy(), "norm").pvalue > 0.001
    assert torch.equal(Gaussian(std=0.0)(x, Rng.of(0)), x)


def fraction_of(mask: torch.Tensor, p: float) -> float:
    """The p-value of as many hits as there are, if each comes with probability ``p``."""
    return float(binomtest(int(mask.sum()), mask.numel(), p).pvalue)


def test_masking_zeroes_the_given_fraction_and_leaves_the_rest() -> None:
    x = images()
    masked = Masking(fraction=0.3)(x, Rng.of(0))
    zero = masked == 0
    assert fraction_of(zero, 0.3) > 0.001
    assert torch.equal(masked[~zero], x[~zero])


def test_masking_takes_elements_independently() -> None:
    """Neighbours, the same pixel of two examples: no more often together than by chance."""
    zero = Masking(fraction=0.3)(images(), Rng.of(1)) == 0
    assert fraction_of(zero[..., :-1] & zero[..., 1:], 0.09) > 0.001
    assert fraction_of(zero[:-1] & zero[1:], 0.09) > 0.001


def test_salt_and_pepper_is_half_and_half() -> None:
    x = images()
    damaged = SaltAndPepper(fraction=0.4)(x, Rng.of(0))
    salt, pepper = damaged == 1, damaged == 0
    assert fraction_of(salt, 0.2) > 0.001
    assert fraction_of(pepper, 0.2) > 0.001
    rest = ~(salt | pepper)
    assert torch.equal(damaged[rest], x[rest])


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper])
def test_nothing_and_everything(kind: type[Masking] | type[SaltAndPepper]) -> None:
    x = images()
    assert torch.equal(kind(fraction=0.0)(x, Rng.of(0)), x)
    assert not (kind(fraction=1.0)(x, Rng.of(0)) == x).any()


def test_no_corruption_is_the_identity() -> None:
    x = images()
    assert NoCorruption()(x, Rng.of(0)) is x


@pytest.mark.parametrize("corruption", [Masking(fraction=0.0), SaltAndPepper(fraction=0.0)])
def test_a_fraction_of_nothing_changes_nothing_whatever_is_drawn(
    corruption: Corruption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rng, "uniform", lambda self, like: torch.zeros_like(like))  # the least
    x = images(3)
    assert torch.equal(corruption(x, Rng.of(0)), x)
