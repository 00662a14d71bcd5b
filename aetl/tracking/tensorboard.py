"""TensorBoard event files in the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aetl.tracking.base import About, Results, Status, Tracker
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

    def pictures(self, stage: str, found: Sequence[tuple[int, Path]]) -> None:
        for step, path in found:
            self._add(f"{stage}/reconstructions", path, step)

    def finish(self, results: Results, status: Status) -> None:
        if self._writer is None:
            return
        for name, value in results.summary.items():
            self._writer.add_scalar(name, value)
        for name, path in results.figures.items():
            self._add(f"figures/{name}", path)
        self._writer.close()

    def _add(self, name: str, path: Path, step: int | None = None) -> None:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")
