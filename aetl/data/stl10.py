"""STL-10: 5 000 + 8 000 colour pictures of 96 x 96 in ten classes, and 100 000 without a label.

A. Coates, H. Lee, A. Y. Ng (2011), An analysis of single-layer networks in unsupervised feature
learning, AISTATS.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from aetl.data import mapped
from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.download import ensure_files
from aetl.ranges import Text
from aetl.types import UserError

SHAPE = (3, 96, 96)
BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Stl10(Dataset):
    """Files of torchvision's layout in ``<data_dir>/stl10_binary``.

    ``train`` are those with a label, ``unlabelled`` those without, ``both`` all of them.
    """

    data_dir: Text
    download: bool
    part: Literal["train", "unlabelled", "both"]

    def read(self) -> tuple[Examples, Examples]:
        names, test_x, test_y, *train = self._files()
        classes = tuple(names.read_text(encoding="utf-8").split())
        test = _examples([test_x], test_y, classes)
        images = [path for path in train if path.name.endswith("X.bin")]
        labels = next((path for path in train if path.name == "train_y.bin"), None)
        return _examples(images, labels, classes), test

    def kept_by(self) -> Any:
        """2.8 GB to turn round and to hash."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        folder = Path(self.data_dir).expanduser() / "stl10_binary"

        def fetch(scratch: Path) -> None:
            from torchvision.datasets import STL10  # slow to import

            STL10(scratch, download=True)

        names = ["class_names.txt", "test_X.bin", "test_y.bin"]
        names += ["train_X.bin", "train_y.bin"] if self.part != "unlabelled" else []
        names += ["unlabeled_X.bin"] if self.part != "train" else []
        return ensure_files(folder, names, fetch if self.download else None)


def _examples(images: list[Path], labels: Path | None, classes: tuple[str, ...]) -> Examples:
    """Images of all files; those of the first have labels, where there is a file of them."""
    size = int(np.prod(SHAPE))
    for path in images:
        if path.stat().st_size % size or not path.stat().st_size:
            raise UserError(
                f"{path}: is cut off or corrupt ({path.stat().st_size} bytes); download it again"
            )
    counts = [path.stat().st_size // size for path in images]
    x = mapped.empty((sum(counts), *SHAPE), np.uint8)
    start = 0
    for path, count in zip(images, counts, strict=True):
        stored = np.memmap(path, np.uint8, "r", shape=(count, *SHAPE))
        for first in range(0, count, BLOCK):  # by columns in the file
            part = stored[first : first + BLOCK].transpose(0, 1, 3, 2)
            x[start + first : start + first + len(part)] = part
        start += count
    y = torch.full((len(x),), -1)
    if labels is not None:
        known = np.fromfile(labels, np.uint8).astype(np.int64) - 1
        if len(known) != counts[0] or known.min() < 0 or known.max() >= len(classes):
            raise UserError(f"{labels}: is cut off or corrupt; download it again")
        y[: len(known)] = torch.from_numpy(known)
    return Examples.of(torch.from_numpy(x), y, classes)
