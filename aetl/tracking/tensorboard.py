"""TensorBoard event files in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aetl.tracking.base import About, Tracker
from aetl.tracking.history import Row
from aetl.types import UserError


class TensorBoard(Tracker):
    """Scalars and pictures; needs the extra ``aetl[tensorboard]``."""

    def __init__(self) -> None:
        self._writer: Any = None

    def start(self, about: About) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("logger=tensorboard: pip install 'aetl[tensorboard]'") from None
        self._writer = SummaryWriter(str(about.folder / "tensorboard"))

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._writer.add_scalar(f"{row.stage}/{row.split}/{row.name}", row.value, row.step)

    def finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path], ok: bool) -> None:
        if self._writer is None:
            return
        for name, value in summary.items():
            self._writer.add_scalar(name, value)
        self._writer.close()
