"""Batches: every row once, the order by the epoch, exact in the middle and over ranks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.rng import Rng
from aetl.types import Batch

POOL = Examples.of(
    torch.randint(
        0, 256, (40, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    ),
    torch.arange(40) % 4,
    tuple("abcd"),
)


def loader(n: int = 23, **keys: Any) -> Loader:
    defaults = {"batch_size": 5, "rng": Rng.of(7), "shuffle": True}
    return Loader(POOL, torch.arange(40)[-n:] if n else torch.arange(0), **(defaults | keys))


def rows(batches: list[Batch]) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]


def flat(batches: Iterable[Batch]) -> list[int]:
    return torch.cat([batch.index for batch in batches]).tolist()


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x[:4], y[:4], strict=True))


def test_an_epoch_holds_every_row_once_with_its_own_values() -> None:
    batches = list(loader())
    assert [len(batch.x) for batch in batches] == [5, 5, 5, 5, 3]
    index = torch.cat([batch.index for batch in batches])
    assert sorted(index.tolist()) == list(range(17, 40))
    x, y = torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches])
    assert torch.equal(x, POOL.x[index].float() / 255)
    assert torch.equal(y, POOL.y[index])
    assert all(torch.equal(b.weight, torch.ones(len(b.x))) for b in batches)


def test_the_order_follows_from_the_epoch_and_the_key_alone() -> None:
    one = loader()
    first, again = rows(list(one)), rows(list(one))
    assert first == again == rows(list(loader()))
    one.set_epoch(1)
    assert rows(list(one)) != first
    assert rows(list(loader(rng=Rng.of(8)))) != first


def test_without_shuffling_the_order_is_that_of_the_index() -> None:
    assert flat(loader(shuffle=False)) == list(range(17, 40))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.integers(0, 5), st.data())
def test_a_resume_in_the_middle_equals_the_uninterrupted_epoch(
    n: int, batch_size: int, min_batches: int, epoch: int, data: st.DataObject
) -> None:
    keys = {"batch_size": batch_size, "min_batches": min_batches}
    whole = loader(n, **keys)
    whole.set_epoch(epoch)
    batches = list(whole)
    assert len(batches) == len(whole) >= min_batches
    assert [whole.joint_size(i) for i in range(len(whole))] == [len(b.x) for b in batches]
    resumed = loader(n, **keys)
    resumed.set_epoch(epoch)
    skip = data.draw(st.integers(0, len(whole)))
    resumed.skip = skip
    assert same(list(resumed), batches[skip:])
    assert same(list(resumed), batches)  # skipped once, not again


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 5))
def test_the_parts_of_all_ranks_make_up_the_joint_batch(
    n: int, batch_size: int, world: int
) -> None:
    joint = list(loader(n, batch_size=batch_size))
    parts = []
    for rank in range(world):
        part = loader(n, batch_size=batch_size)
        part.rank, part.world = rank, world
        parts.append(list(part))
        assert len(parts[-1]) == len(joint)
    for i, batch in enumerate(joint):
        for rank in range(world):
            assert same([parts[rank][i]], [Batch(*(field[rank::world] for field in batch[:4]))])


def test_a_part_of_a_short_batch_may_be_empty_and_keeps_its_shape() -> None:
    part = loader(1)
    part.rank, part.world = 1, 2
    (batch,) = part
    assert batch.x.shape == (0, 1, 3, 3)
    assert part.joint_size(0) == 1


def test_passes_of_a_long_epoch_are_complete_and_differ() -> None:
    one = loader(12, min_batches=7)
    assert len(one) == one.batches_per_epoch == 9
    batches = list(one)
    passes = [flat(batches[i : i + 3]) for i in (0, 3, 6)]
    assert all(sorted(p) == list(range(28, 40)) for p in passes)
    assert len({tuple(p) for p in passes}) == 3
    one.set_epoch(1)
    assert all(p != flat(list(one)[:3]) for p in passes)


def test_dropping_the_last_batch_never_drops_the_only_one() -> None:
    assert [len(b.x) for b in loader(23, drop_last=True)] == [5, 5, 5, 5]
    assert [len(b.x) for b in loader(3, drop_last=True)] == [3]
    assert [len(b.x) for b in loader(20, drop_last=True)] == [5, 5, 5, 5]


def test_weights_stay_with_their_rows() -> None:
    for batch in loader(weight=torch.arange(17, 40).float()):
        assert torch.equal(batch.weight, batch.index.float())


@pytest.mark.parametrize("world", [1, 2])
def test_a_last_batch_that_is_too_small_goes_into_the_one_before(world: int) -> None:
    """Batch normalisation has nothing to normalise one example by."""
    parts = [loader(21, smallest=2) for _ in range(world)]
    for rank, part in enumerate(parts):
        part.rank, part.world = rank, world
    sizes = [sum(each) for each in zip(*([len(b.x) for b in part] for part in parts), strict=True)]
    assert sizes == [5, 5, 5, 6]
    assert sorted(row for part in parts for row in flat(part)) == list(range(19, 40))
    assert [len(batch.x) for batch in loader(21)] == [5, 5, 5, 5, 1]
    assert loader(1, smallest=2).smallest_joint == 1


def test_no_rows_are_no_batches() -> None:
    assert len(loader(0, min_batches=5)) == 0
    assert list(loader(0)) == []


def test_weights_of_another_length_are_refused() -> None:
    # By the constructor, or before it by the check of the shapes where that is switched on.
    with pytest.raises((ValueError, TypeError), match=r"4 weights for 23 rows|weight"):
        loader(weight=torch.ones(4))


@pytest.mark.bench
def test_batches_take_no_longer_than_a_loop_written_by_hand() -> None:
    images = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
    pool = Examples(
        images, torch.zeros(60_000, dtype=torch.int64), ("a",), POOL.identity[[0] * 60_000]
    )
    ours = Loader(pool, torch.arange(60_000), batch_size=256, rng=Rng.of(0), shuffle=True)

    def by_hand() -> None:
        for at in torch.randperm(60_000).split(256):
            _ = images[at].float() / 255, pool.y[at]

    def by_loader() -> None:
        for _ in ours:
            pass

    def fastest(work: Any) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    assert fastest(by_loader) < 1.05 * fastest(by_hand)


def test_batches_of_one_are_batches() -> None:
    found = rows(list(loader(3, batch_size=1, shuffle=False)))
    assert [len(batch) for batch in found] == [1, 1, 1]
