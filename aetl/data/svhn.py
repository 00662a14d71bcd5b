"""SVHN: house numbers in streets, 73 257 + 26 032 colour digits of 32 x 32.

Y. Netzer et al. (2011), Reading digits in natural images with unsupervised feature learning.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.download import ensure_files
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Svhn(Dataset):
    """Files of torchvision's layout in ``<data_dir>/SVHN``; ``extra`` are 531 131 easier ones,
    which join the training pool."""

    data_dir: Text
    download: bool
    extra: bool

    def read(self) -> tuple[Examples, Examples]:
        *train, test = [_read_file(path) for path in self._files()]
        x, y = (torch.cat([part[k] for part in train]) for k in (0, 1))
        classes = tuple(str(digit) for digit in range(10))
        return Examples.of(x, y, classes), Examples.of(*test, classes)

    def kept_by(self) -> Any:
        """Compressed."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        folder = Path(self.data_dir).expanduser() / "SVHN"
        parts = ["train", *(["extra"] if self.extra else []), "test"]

        def fetch(scratch: Path) -> None:
            from torchvision.datasets import SVHN  # slow to import

            for part in parts:
                SVHN(scratch, split=part, download=True)

        names = [f"{part}_32x32.mat" for part in parts]
        return ensure_files(folder, names, fetch if self.download else None)


def _read_file(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """``X`` [32, 32, 3, N] and ``y``, in which 10 is the digit 0."""
    from scipy.io import loadmat  # slow to import

    try:
        content = loadmat(path)
        x, y = content["X"], content["y"].reshape(-1).astype(np.int64)
        if x.dtype != np.uint8 or x.shape[:3] != (32, 32, 3) or x.shape[3] != len(y):
            raise ValueError("arrays of another shape")
        if y.min() < 1 or y.max() > 10:
            raise ValueError("a label beyond 1..10")
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise UserError(f"{path}: is cut off or corrupt ({error}); download it again") from None
    images = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
    return torch.from_numpy(images), torch.from_numpy(y % 10)
