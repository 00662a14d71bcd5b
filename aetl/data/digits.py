"""Handwritten digits that scikit-learn ships: 1 797 images of 8 x 8, no network needed.

E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from aetl.data.base import Dataset, Examples


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """Grey levels 0..16 become 0..255. There is no official test set."""

    def read(self) -> tuple[Examples, None]:
        x, y, classes = _file()
        return Examples.of(torch.from_numpy(x.copy()), torch.from_numpy(y.copy()), classes), None


@cache
def _file() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A text, which takes longer to read than all else of a small run's data: once a process."""
    from sklearn.datasets import load_digits  # slow to import

    bunch = load_digits()
    x = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return x, bunch.target.astype(np.int64), tuple(str(name) for name in bunch.target_names)
