"""MNIST: 60 000 + 10 000 handwritten digits of 28 x 28.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), Gradient-based learning applied to document
recognition, Proceedings of the IEEE 86(11).
"""

from dataclasses import dataclass

from torchvision.datasets import MNIST

from aetl.data.idx import Idx


@dataclass(frozen=True, kw_only=True)
class Mnist(Idx):
    """Files of torchvision's layout in ``<data_dir>/MNIST/raw``."""

    kind = MNIST
    # The names of the digits are those of the other digit sets, so that labels transfer.
    classes = tuple(str(digit) for digit in range(10))
