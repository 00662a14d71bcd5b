"""Tables that scikit-learn ships: breast cancer and wine in classes, diabetes as a number."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from aetl.data.base import Dataset, Examples


@dataclass(frozen=True, kw_only=True)
class SklearnTable(Dataset):
    """``breast_cancer`` (569 x 30), ``wine`` (178 x 13) or ``diabetes`` (442 x 10)."""

    name: Literal["breast_cancer", "wine", "diabetes"]

    def read(self) -> tuple[Examples, None]:
        from sklearn import datasets  # slow to import

        bunch = getattr(datasets, f"load_{self.name}")()
        classes = tuple(str(name) for name in bunch.get("target_names", ()))
        y = bunch.target.astype(np.int64 if classes else np.float32)
        x = torch.from_numpy(bunch.data.astype(np.float32))
        examples = Examples.of(x, torch.from_numpy(y), classes)
        return replace(examples, columns=tuple(map(str, bunch.feature_names))), None
