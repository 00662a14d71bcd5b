"""Training data where the model is: what fits is copied once, the rest batch by batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from aetl.data.ahead import ahead
from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.rng import Rng
from aetl.stage import near as place
from aetl.stage.near import near
from aetl.stage.packing import Pace, Packs, size_of
from aetl.types import Batch

META = torch.device("meta")
"""A device that holds nothing: of what is on it, shapes alone are known."""


def examples(number: int, kind: str = "image") -> Examples:
    generator = torch.Generator().manual_seed(number)
    x = torch.randint(0, 256, (number, 1, 4, 4), dtype=torch.uint8, generator=generator)
    x = x if kind == "image" else x.float().flatten(1).where(x.flatten(1) > 200, 0.0).to_sparse()
    return Examples(x, torch.arange(number), (), torch.arange(number).numpy().astype("uint64"))


def loader(data: Examples, shuffle: bool = True) -> Loader:
    return Loader(data, torch.arange(len(data)), batch_size=5, rng=Rng.of(0), shuffle=shuffle)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a[:4], b[:4], strict=True))


@pytest.mark.parametrize(
    "share, there",
    [(1.0, ["meta", "meta", "meta", "cpu"]), (0.5, ["meta", "cpu", "cpu", "cpu"]),
     (0.0, ["cpu"] * 4)],
)  # fmt: skip
def test_what_fits_lies_on_the_device_the_small_first(
    share: float, there: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = examples(10), examples(20)
    loaders = [loader(small), loader(large), loader(large, shuffle=False),
               loader(examples(5, "sparse"))]  # fmt: skip
    # Both that share a set count once.
    monkeypatch.setattr(place, "free_memory", lambda device: small.x.nbytes + large.x.nbytes)
    with near(loaders, META, share):
        assert [one.stored.device.type for one in loaders] == there
        assert loaders[0].stored.dtype == torch.uint8
        batch = next(iter(loaders[1]))
        assert batch.x.device == batch.y.device == batch.weight.device == META
        assert batch.x.dtype == torch.float32
        if share == 1.0:
            assert loaders[1].stored is loaders[2].stored
    assert all(one.stored.device.type == "cpu" for one in loaders)
    assert next(iter(loaders[0])).x.device.type == "cpu"


def test_on_a_cpu_nothing_changes() -> None:
    data = examples(10)
    one = loader(data)
    with near([one], torch.device("cpu"), 1.0):
        assert one.stored is data.x


@pytest.mark.parametrize("kind", ["image", "sparse"])
def test_batches_that_are_brought_are_those_that_are_gathered(kind: str) -> None:
    data = examples(23, kind)
    plain, brought = loader(data), loader(data)
    brought.bring_to(torch.device("cpu"))
    plain.skip = brought.skip = 1
    pairs = list(zip(plain, brought, strict=True))
    assert len(pairs) == 4
    assert all(same(a, b) for a, b in pairs)


def test_a_copy_that_is_kept_gives_the_same_batches() -> None:
    data = examples(23)
    plain, kept = loader(data), loader(data)
    kept.keep_on(data.x.clone())
    assert all(same(a, b) for a, b in zip(plain, kept, strict=True))


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reader"]


def test_a_reader_is_ahead_and_ends() -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for i in range(50):
            read.append(i)
            yield i

    values = ahead(numbers())
    assert next(values) == 0
    end = time.monotonic() + 5
    while len(read) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert 3 <= len(read) <= 5  # some, not all
    values.close()  # type: ignore[attr-defined]
    assert readers() == []
    assert list(ahead(range(7))) == list(range(7))
    assert readers() == []


def test_an_error_of_the_reader_comes_where_its_value_would_have() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    values = ahead(numbers())
    assert next(values) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(values)


def test_a_pack_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    one = loader(examples(50))
    size = size_of(next(iter(one)))
    assert size == 5 * (4 * 16 + 8 + 8 + 4)
    assert size_of({"a": next(iter(one)), "b": next(iter(one))}) == 2 * size
    monkeypatch.setattr("aetl.stage.packing.MEMORY", 3 * size + 1)
    pace = Pace()
    pace.size = 8
    packs = Packs(one, pace, start=0, accumulate=1, every=100, last=100)
    assert [len(pack.batches) for pack in packs] == [3, 3, 3, 1]
