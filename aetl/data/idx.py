"""Sets in the IDX files of MNIST, as torchvision lays them out: ``<data_dir>/<name>/raw``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.datasets import mnist

from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.download import ensure_files
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Idx(Dataset):
    """28 x 28 training and test images of ``kind``, torchvision's class of the set.

    ``read`` raises ``UserError`` that names the file which is missing, cut off or corrupt.
    """

    kind: ClassVar[type[mnist.MNIST]]
    classes: ClassVar[tuple[str, ...]]
    data_dir: Text
    download: bool

    def read(self) -> tuple[Examples, Examples]:
        train_x, train_y, test_x, test_y = self._files()
        return (
            read_pair(train_x, train_y, self.classes),
            read_pair(test_x, test_y, self.classes),
        )

    def kept_by(self) -> Any:
        """70 000 images to read and to hash: half of what a small job takes."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        def fetch(scratch: Path) -> None:
            self.kind(scratch, download=True)

        names = [name.removesuffix(".gz") for name, _ in self.kind.resources]
        folder = Path(self.data_dir).expanduser() / self.kind.__name__ / "raw"
        return ensure_files(folder, names, fetch if self.download else None)


def read_pair(images: Path, labels: Path, classes: tuple[str, ...]) -> Examples:
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
