"""Handwritten digits that scikit-learn ships: 1 797 images of 8 x 8, no network needed.

E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository.
"""

from dataclasses import dataclass

import numpy as np
import torch

from aetl.data.base import Dataset, Examples


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """Grey levels 0..16 become 0..255. There is no official test set."""

    def read(self) -> tuple[Examples, None]:
        from sklearn.datasets import load_digits  # slow to import

        bunch = load_digits()
        x = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        y = torch.from_numpy(bunch.target.astype(np.int64))
        classes = tuple(str(name) for name in bunch.target_names)
        return Examples.of(torch.from_numpy(x), y, classes), None
