"""Sets in the IDX files of MNIST, as torchvision lays them out: ``<data_dir>/<name>/raw``."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import mnist

from aetl.data.base import Examples
from aetl.data.download import ensure_files
from aetl.types import UserError


def read_idx(
    kind: type[mnist.MNIST], classes: tuple[str, ...], data_dir: str, *, download: bool
) -> tuple[Examples, Examples]:
    """The 28 x 28 training and test images of ``kind``, a torchvision class.

    Raises ``UserError`` that names the file which is missing, cut off or corrupt.
    """

    def fetch(scratch: Path) -> None:
        kind(scratch, download=True)

    names = [name.removesuffix(".gz") for name, _ in kind.resources]
    folder = Path(data_dir).expanduser() / kind.__name__ / "raw"
    train_x, train_y, test_x, test_y = ensure_files(folder, names, fetch if download else None)
    return _read_pair(train_x, train_y, classes), _read_pair(test_x, test_y, classes)


def _read_pair(images: Path, labels: Path, classes: tuple[str, ...]) -> Examples:
    x = _read_file(images, mnist.read_image_file)
    y = _read_file(labels, mnist.read_label_file)
    if len(x) != len(y):
        raise UserError(f"{labels}: holds {len(y)} labels for {len(x)} images; download it again")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(classes):
        raise UserError(f"{labels}: is corrupt (a label is not below {len(classes)})")
    return Examples.of(x[:, None], y, classes)


def _read_file(path: Path, read: Callable[[str], Tensor]) -> Tensor:
    try:
        tensor = read(str(path))
    # torchvision asserts on the length and the types, and indexes into the header.
    except (
        AssertionError,
        IndexError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as e:
        raise UserError(
            f"{path}: is cut off or corrupt ({path.stat().st_size} bytes); download it again"
        ) from e
    return tensor.to(torch.int64) if tensor.ndim == 1 else tensor.contiguous()
