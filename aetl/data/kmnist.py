"""Kuzushiji-MNIST: 60 000 + 10 000 cursive Japanese characters of 28 x 28 in ten classes.

T. Clanuwat et al. (2018), Deep learning for classical Japanese literature, arXiv:1812.01718.
"""

from dataclasses import dataclass

from torchvision.datasets import KMNIST

from aetl.data.idx import Idx


@dataclass(frozen=True, kw_only=True)
class Kmnist(Idx):
    """Files of torchvision's layout in ``<data_dir>/KMNIST/raw``."""

    kind = KMNIST
    classes = tuple(KMNIST.classes)
