"""Finds, on a CPU, where a step would wait for a GPU."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = {
    "aten::_local_scalar_dense",  # item(), float(t), int(t), bool(t), `if t`
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::equal",
    "aten::bincount",
}
"""Whose result's value or shape the host has to know before it goes on."""
CALLS = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.from_numpy,
         torch.tensor, torch.as_tensor}  # fmt: skip
"""What copies to the host or from it."""


class _Operators(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition(".")[0]
        asked = name in OPERATORS or (name == "aten::index" and _by_mask(args[1]))
        if asked and not _of_an_optimizer():
            self.found.append(f"{name} {_place()}")
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CALLS and not _of_an_optimizer():
            self.found.append(f"{func.__name__} {_place()}")
        return func(*args, **(kwargs or {}))


def _by_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype == torch.bool for index in indices)


def _of_an_optimizer() -> bool:
    """Its count of steps is on the host, wherever the weights are."""
    return any("/torch/optim/" in f.filename for f in traceback.extract_stack())


def _place() -> str:
    """The line of ours that asked."""
    ours = [f for f in traceback.extract_stack() if "/aetl/" in f.filename]
    return f"{ours[-1].filename.rpartition('/aetl/')[2]}:{ours[-1].lineno}" if ours else "elsewhere"


@contextmanager
def waits() -> Iterator[list[str]]:
    """Inside, every place where a step would wait is added to the list: ``what file:line``."""
    found: list[str] = []
    with _Operators(found), _Calls(found):
        yield found
