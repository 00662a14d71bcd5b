"""Batches of examples, in an order that follows from the epoch alone."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aetl.data.ahead import ahead
from aetl.data.base import Examples, Index, present_in, to_unit
from aetl.data.binarise import drawn_again
from aetl.rng import Rng
from aetl.types import Batch

Rows = tuple[Tensor, ...]


class Loader:
    """The batches of one epoch at a time, gathered by index (no work for each sample).

    ``index`` are the rows to use and ``weight`` (if any) has one number for each of them. An
    epoch is one pass over ``index``, or as many passes, each in its own order, as give at least
    ``min_batches`` batches. No batch reaches over the end of a pass, so the last of each pass may
    be smaller (or is left out with ``drop_last``, unless it is the only one); where it would have
    fewer than ``smallest`` examples, they go into the batch before.

    The caller moves on by ``set_epoch``; ``skip`` leaves out that many batches at the next start,
    for a resume in the middle. With ``rank`` and ``world`` a batch is the part ``rank::world`` of
    the joint batch of ``joint_size(i)`` examples; the part may be empty.

    Batches are where the examples are, unless ``keep_on`` or ``bring_to`` said otherwise.
    """

    def __init__(
        self,
        examples: Examples,
        index: Index,
        *,
        batch_size: int,
        rng: Rng,
        shuffle: bool,
        weight: Float[Tensor, " n"] | None = None,
        drop_last: bool = False,
        min_batches: int = 1,
        smallest: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        self.rows: Int[Tensor, " n"] = torch.as_tensor(np.asarray(index), dtype=torch.int64)
        if weight is not None and len(weight) != len(self.rows):
            raise ValueError(f"{len(weight)} weights for {len(self.rows)} rows")
        self._x, self._has_holes = examples.x, examples.has_holes
        self._redrawn, self._entries = examples.redrawn, examples.entries
        self._y = examples.y
        self._home = self._x, self._y
        self._far: torch.device | None = None
        self._weight = torch.ones(len(self.rows)) if weight is None else weight.float()
        self._rng = rng
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.epoch = 0
        self.skip = 0
        self.rank = 0
        self.world = 1
        full, rest = divmod(len(self.rows), batch_size)
        self._used = len(self.rows) - (rest if drop_last and full else 0)
        self._per_pass = full + bool(rest and not (full and (drop_last or rest < smallest)))
        self._passes = math.ceil(min_batches / self._per_pass) if self._per_pass else 0
        self._passes = max(self._passes, 1)

    @property
    def stored(self) -> Tensor:
        """The inputs of all examples, as they are stored."""
        return self._x

    def keep_on(self, x: Tensor) -> None:
        """Gather from this copy of ``stored``, on whatever device it is."""
        self._x, self._y = x, self._y.to(x.device)

    def bring_to(self, device: torch.device) -> None:
        """Gather where the examples are, and copy each batch to the device; the next ones are read
        while one is worked on."""
        self._far = device

    def go_home(self) -> None:
        """Batches are where the examples are, as at first."""
        (self._x, self._y), self._far = self._home, None

    def __len__(self) -> int:
        """Batches in an epoch (``skip`` does not count)."""
        return self._per_pass * self._passes

    @property
    def batches_per_epoch(self) -> int:
        return len(self)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def joint_size(self, i: int) -> int:
        """Examples in the i-th joint batch of an epoch, over all ranks."""
        start, stop = self._joint(i % self._per_pass)
        return stop - start

    @property
    def smallest_joint(self) -> int:
        """Examples in the smallest joint batch."""
        return min((self.joint_size(i) for i in (0, self._per_pass - 1)), default=0)

    def _joint(self, place: int) -> tuple[int, int]:
        """Where in a pass its joint batch of that number starts and stops."""
        start = place * self.batch_size
        return start, self._used if place == self._per_pass - 1 else start + self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        # A generator: epoch and skip are read at the first batch, and an iterator that is never
        # advanced (Lightning makes one to check the loader) does not use up the skip.
        start, self.skip = self.skip, 0
        yield from self._batches(self.epoch, start)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        rows = self._rows(epoch, start)
        if self._far is not None:
            rows = ahead(tuple(map(pinned, part)) for part in rows)
        for i, part in enumerate(rows, start):
            batch = self._seen(*part)
            if self._redrawn:
                turn, place = divmod(i, self._per_pass)
                key = (*self._rng.key, "binarise", epoch * self._passes + turn, place)
                rng = Rng(key, self.rank, self.world, self.joint_size(i))
                batch = batch._replace(x=drawn_again(batch.x, rng))
            yield batch

    def _rows(self, epoch: int, start: int) -> Iterator[Rows]:
        """Of each batch the examples as they are stored, their labels, indices and weights."""
        index, weight = self.rows, self._weight
        for i in range(start, len(self)):
            turn, place = divmod(i, self._per_pass)
            if i == start or place == 0:
                # Once a pass and not once a batch: this is half of the work beside the gathering.
                order = self._order(epoch * self._passes + turn)
                index = self.rows[order].to(self._x.device)
                weight = self._weight[order].to(self._x.device)
            joint = slice(*self._joint(place))
            part = slice(self.rank, None, self.world)
            own = index[joint][part]
            yield (
                self._x.index_select(0, own),
                self._y.index_select(0, own),
                own,
                weight[joint][part],
            )

    def _order(self, turn: int) -> Int[Tensor, " n"]:
        """Positions in ``rows``, in the order of the pass of that number since the start."""
        if not self.shuffle:
            return torch.arange(len(self.rows))
        return self._rng.fork("order", turn).permutation(len(self.rows))

    def _seen(self, x: Tensor, y: Tensor, index: Tensor, weight: Tensor) -> Batch:
        """As a network sees it."""
        if self._far is not None:
            x, y, index, weight = (
                part.to(self._far, non_blocking=True) for part in (x, y, index, weight)
            )
        x = to_unit(x)
        mask = present_in(x, self._entries, has_holes=self._has_holes)
        x = x.nan_to_num(0) if self._has_holes else x
        return Batch(x, y, index, weight, mask)


def pinned(rows: Tensor) -> Tensor:
    """Where a GPU copies from without waiting, if there is one; of sparse rows all values."""
    rows = rows.to_dense() if rows.is_sparse else rows
    return rows.pin_memory() if torch.cuda.is_available() else rows


def smallest_batch(modules: Iterable[nn.Module]) -> int:
    """The fewest examples of a joint batch: batch normalisation needs two."""
    return 2 if any(isinstance(m, _BatchNorm) for m in modules) else 1
