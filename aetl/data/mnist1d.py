"""MNIST-1D: digits as signals of 40 values, moved, scaled, sheared and noisy.

S. Greydanus, D. Kobak (2020), Scaling down deep learning with MNIST-1D, arXiv:2011.14439.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch

from aetl.data.base import Dataset, Examples
from aetl.ranges import Count, Seed
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Mnist1d(Dataset):
    """4 000 + 1 000 series, made by the authors' package (``data_seed=42`` are the published ones).

    ``shuffled`` puts all positions in one random order, the same for every series: there is nothing
    to learn along the series any more. ``number`` is that of training and test series together.
    """

    number: Count
    shuffled: bool
    data_seed: Seed

    def read(self) -> tuple[Examples, Examples]:
        try:
            from mnist1d.data import get_dataset_args, make_dataset
        except ImportError:
            raise UserError("mnist1d needs its package: pip install 'aetl[mnist1d]'") from None
        args = get_dataset_args()
        args.num_samples, args.shuffle_seq, args.seed = self.number, self.shuffled, self.data_seed
        # The package draws from the global sources.
        states = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            made = make_dataset(args)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
        if not len(made["x_test"]):
            raise UserError(f"number={self.number}: must be at least 10, one for each digit")
        return _examples(made["x"], made["y"]), _examples(made["x_test"], made["y_test"])


def _examples(x: np.ndarray, y: np.ndarray) -> Examples:
    signals = torch.from_numpy(x.astype(np.float32))[:, None]
    return Examples.of(signals, torch.from_numpy(y.astype(np.int64)), tuple("0123456789"))
