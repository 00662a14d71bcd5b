"""Fashion-MNIST: 60 000 + 10 000 clothes of 28 x 28 in ten classes.

H. Xiao, K. Rasul, R. Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747.
"""

from dataclasses import dataclass

from torchvision.datasets import FashionMNIST

from aetl.data.base import Dataset, Examples
from aetl.data.idx import read_idx


@dataclass(frozen=True, kw_only=True)
class FashionMnist(Dataset):
    """Files of torchvision's layout in ``<data_dir>/FashionMNIST/raw``."""

    data_dir: str
    download: bool

    def read(self) -> tuple[Examples, Examples]:
        classes = tuple(FashionMNIST.classes)
        return read_idx(FashionMNIST, classes, self.data_dir, download=self.download)
