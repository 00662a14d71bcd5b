"""Several processes that run one program: who I am, and how we agree.

With ``trainer=ddp`` every rank runs the whole pipeline. Rank 0 alone decides, writes and logs; the
others follow its decisions. ``process_group`` starts and ends them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

CHILD_OF = "AETL_RANK_OF"
"""The variable that tells a rank whose run it is part of."""
VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


_one = False


@contextmanager
def as_one() -> Iterator[None]:
    """Inside, each rank is the only one: it computes on the whole joint batch by itself."""
    global _one
    before, _one = _one, True
    try:
        yield
    finally:
        _one = before


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() and not _one else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() and not _one else 1


def agree(value: T) -> T:
    """Rank 0's value, on every rank."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def is_child() -> bool:
    """Whether this process was started as a rank of somebody else's run."""
    return os.environ.get(CHILD_OF) is not None


def use_threads(number: int) -> None:
    """CPU threads of this process: fixed in the config, since sums depend on how they are split."""
    torch.set_num_threads(number)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many of them inside; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
