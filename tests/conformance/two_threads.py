"""Two ranks as threads of one process, one at a time, that exchange what they gather.

What each computes is part of one graph, so that the gradient of the mean of their losses is that of
two processes whose gradients are averaged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor

from aetl import joint_batch, ranks

T = TypeVar("T")
WORLD = 2
PATIENCE = 60.0


class Meeting:
    """Where the ranks wait for each other's values."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self.brought: list[list[Any]] = [[] for _ in range(WORLD)]
        self.failed = False

    def exchange(self, value: Any) -> list[Any]:
        """The values of all ranks; ``AssertionError`` where one of them does not come."""
        own = self.brought[ranks.rank()]
        number = len(own)
        own.append(value)
        self.turn.notify_all()
        came = self.turn.wait_for(
            lambda: self.failed or all(len(b) > number for b in self.brought), PATIENCE
        )
        assert came, "a rank gathers what the other does not"
        assert not self.failed, "the other rank has failed"
        return [brought[number] for brought in self.brought]


def together(work: Callable[[int], T]) -> list[T]:
    """``work(rank)`` of both ranks at once; what each returns."""
    meeting, found, errors = Meeting(), dict[int, T](), list[BaseException]()

    def rank_does(rank: int) -> None:
        _here.rank = rank
        with meeting.turn:
            try:
                found[rank] = work(rank)
            except BaseException as error:
                errors.append(error)
                meeting.failed = True
                meeting.turn.notify_all()

    with _as_ranks(meeting):
        threads = [threading.Thread(target=rank_does, args=(rank,)) for rank in range(WORLD)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return [found[rank] for rank in range(WORLD)]


_here = threading.local()


@contextmanager
def _as_ranks(meeting: Meeting) -> Iterator[None]:
    def all_gather(places: list[Tensor], value: Tensor) -> None:
        for place, brought in zip(places, meeting.exchange(value), strict=True):
            place.copy_(brought)

    gather = SimpleNamespace(apply=lambda values: torch.stack(meeting.exchange(values)))
    total = SimpleNamespace(apply=lambda value: torch.stack(meeting.exchange(value)).sum(0))
    with (
        patch.object(ranks, "rank", lambda: getattr(_here, "rank", 0)),
        patch.object(ranks, "world", lambda: WORLD if hasattr(_here, "rank") else 1),
        patch.object(joint_batch, "all_gather", all_gather),
        patch.object(joint_batch, "_Gather", gather),
        patch.object(joint_batch, "_Sum", total),
    ):
        yield
