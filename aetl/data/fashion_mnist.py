"""Fashion-MNIST: 60 000 + 10 000 clothes of 28 x 28 in ten classes.

H. Xiao, K. Rasul, R. Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747.
"""

from dataclasses import dataclass

from torchvision.datasets import FashionMNIST

from aetl.data.idx import Idx


@dataclass(frozen=True, kw_only=True)
class FashionMnist(Idx):
    """Files of torchvision's layout in ``<data_dir>/FashionMNIST/raw``."""

    kind = FashionMNIST
    classes = tuple(FashionMNIST.classes)
