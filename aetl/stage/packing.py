"""Several optimiser steps for one round of the trainer's loop.

A round of Lightning's loop (hooks, callbacks, progress) costs a few times what a step of a small
model does. So the trainer is handed packs of batches, and a ``training_step`` takes one optimiser
step after the other. How many is chosen by what they cost, and changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from aetl import ranks

SECONDS = 0.1
"""About so long does a pack take: signals, callbacks and the eye wait for it."""
MOST = 128
"""Optimiser steps in a pack, at most."""
MEMORY = 2**28
"""Bytes of the batches in a pack, at most (one step takes what it takes)."""
GROWTH = 8
"""A pack is at most so many times the one before: the first steps are no measure."""


class Pack:
    """The batches of some optimiser steps. Not a list, which the trainer would look through."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def to(self, device: torch.device, **options: Any) -> Pack:
        """The same batches on a device (this is what the trainer asks of a batch)."""
        return self if device.type == "cpu" else Pack(move_data_to_device(self.batches, device))


class Pace:
    """How many optimiser steps go into a pack: as many as take ``SECONDS``.

    Ranks have to agree on it, since the trainer talks to the others once a pack: there it changes
    between epochs alone.
    """

    def __init__(self) -> None:
        self.size = 1
        self._next = 1

    def took(self, steps: int, seconds: float) -> None:
        """What a pack took. An unfinished step counts as one."""
        wanted = int(SECONDS * max(steps, 1) / max(seconds, 1e-9))
        self._next = max(1, min(wanted, MOST, GROWTH * max(steps, 1)))
        if ranks.world() == 1:
            self.size = self._next

    def agree(self) -> None:
        self.size = ranks.agree(self._next)


class Packs:
    """The batches of an epoch of ``loader`` in packs.

    A pack ends where an optimiser step does: at every ``every`` steps (a checkpoint may be due),
    after ``last`` of them, and where its batches take ``MEMORY``. Its length is unknown beforehand,
    so it has none.
    """

    def __init__(
        self, loader: Any, pace: Pace, *, start: int, accumulate: int, every: int, last: int
    ) -> None:
        self.loader, self.pace = loader, pace
        self.accumulate, self.every, self.last = accumulate, every, last
        self._step = start

    def __iter__(self) -> Iterator[Pack]:
        batches: list[Any] = []
        steps = 0
        index, number = self.loader.skip, len(self.loader)
        most = 0
        for batch in self.loader:
            most = most or max(1, MEMORY // max(1, size_of(batch)))
            batches.append(batch)
            index += 1
            if index % self.accumulate and index != number:
                continue
            self._step += 1
            steps += 1
            done = self._step >= self.last
            full = steps >= self.pace.size or len(batches) >= most
            if full or not self._step % self.every or done or index == number:
                yield Pack(batches)
                batches, steps = [], 0
            if done:
                if index != number:
                    yield Pack([])  # not trained on: without it this would be an epoch's end
                return


def size_of(batch: Any) -> int:
    """Its bytes, of all batches that are in it."""
    if isinstance(batch, torch.Tensor):
        return batch.nbytes
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    return sum(map(size_of, batch)) if isinstance(batch, tuple) else 0


HOOKS = tuple(
    name
    for name in vars(pl.Callback)
    if "train_batch" in name or "optimizer_step" in name or "zero_grad" in name
    or name in ("on_before_backward", "on_after_backward")
)  # fmt: skip
"""Where a callback looks at single batches or steps."""


def counts_batches(callbacks: Iterable[pl.Callback], trainer: dict[str, Any]) -> bool:
    """Whether a callback of somebody else, or a setting of the trainer, goes by single batches."""
    foreign = (c for c in callbacks if not type(c).__module__.startswith("aetl."))
    hooked = any(
        getattr(type(c), hook) is not getattr(pl.Callback, hook) for c in foreign for hook in HOOKS
    )
    by_batches = trainer.get("val_check_interval") is not None
    return hooked or by_batches or limits_epochs(trainer)


def limits_epochs(trainer: dict[str, Any]) -> bool:
    """Whether an epoch of the trainer's is not all of the loader's batches."""
    settings = ("limit_train_batches", "overfit_batches", "fast_dev_run")
    return any(trainer.get(name) is not None for name in settings)


def is_plain(trainer: pl.Trainer) -> bool:
    """Whether a step is a backward pass and the optimiser's step, with nothing around them: no
    other process waits for the gradients, and no scaler has a say."""
    single = isinstance(trainer.strategy, pl.strategies.SingleDeviceStrategy)
    return single and getattr(trainer.precision_plugin, "scaler", None) is None
