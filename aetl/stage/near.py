"""Training data where the model is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from aetl.data.loader import Loader


@contextmanager
def near(loaders: Iterable[Loader], device: torch.device, share: float) -> Iterator[None]:
    """Inside, batches are on the device: gathered there where their data take at most ``share`` of
    its free memory, else copied ahead of their use.

    Images stay bytes until they are gathered. What several loaders share is copied once; the
    smaller sets come first. On a CPU all is as it was.
    """
    loaders = sorted(loaders, key=lambda loader: _bytes(loader.stored))
    if device.type == "cpu":
        yield
        return
    room, copies = share * free_memory(device), dict[int, Tensor]()
    try:
        for loader in loaders:
            x = loader.stored
            if id(x) not in copies and _bytes(x) <= room:
                room -= _bytes(x)
                copies[id(x)] = x.to(device)
            if id(x) in copies:
                loader.keep_on(copies[id(x)])
            else:
                loader.bring_to(device)
        yield
    finally:
        for loader in loaders:
            loader.go_home()


def free_memory(device: torch.device) -> int:
    """Bytes; 0 where torch cannot tell."""
    told = getattr(torch.get_device_module(device), "mem_get_info", None)
    return int(told(device)[0]) if told else 0


def _bytes(x: Tensor) -> float:
    """Sparse rows are gathered on the CPU: on a GPU each gathering would wait for it."""
    return math.inf if x.is_sparse else x.nbytes
