"""CIFAR-10 and CIFAR-100: 50 000 + 10 000 colour pictures of 32 x 32.

A. Krizhevsky (2009), Learning multiple layers of features from tiny images.
"""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.download import ensure_files
from aetl.ranges import Text
from aetl.types import UserError

FOLDERS = {10: "cifar-10-batches-py", 100: "cifar-100-python"}
TRAIN = {10: tuple(f"data_batch_{k}" for k in range(1, 6)), 100: ("train",)}
TEST = {10: "test_batch", 100: "test"}
META = {10: ("batches.meta", "label_names"), 100: ("meta", "fine_label_names")}
LABELS = {10: "labels", 100: "fine_labels"}


@dataclass(frozen=True, kw_only=True)
class Cifar(Dataset):
    """Files of torchvision's layout in ``<data_dir>/cifar-10-batches-py`` or ``cifar-100-python``.

    They are pickles; nothing but arrays and plain values is taken out of them.
    """

    data_dir: Text
    download: bool
    number: Literal[10, 100]

    def read(self) -> tuple[Examples, Examples]:
        meta, *batches = self._files()
        classes = tuple(str(name) for name in self._field(meta, META[self.number][1]))
        parts = [self._batch(path, len(classes)) for path in batches]
        x, y = (torch.cat([part[k] for part in parts[:-1]]) for k in (0, 1))
        return Examples.of(x, y, classes), Examples.of(*parts[-1], classes)

    def kept_by(self) -> Any:
        """60 000 images to read and to hash."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        folder = Path(self.data_dir).expanduser() / FOLDERS[self.number]

        def fetch(scratch: Path) -> None:
            from torchvision import datasets  # slow to import

            getattr(datasets, f"CIFAR{self.number}")(scratch, download=True)

        names = [META[self.number][0], *TRAIN[self.number], TEST[self.number]]
        return ensure_files(folder, names, fetch if self.download else None)

    def _batch(self, path: Path, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.asarray(self._field(path, "data"))
        y = np.asarray(self._field(path, LABELS[self.number]), np.int64)
        if x.dtype != np.uint8 or x.shape != (len(y), 3 * 32 * 32):
            raise UserError(f"{path}: is corrupt (images of another size); download it again")
        if len(y) and not 0 <= y.min() <= y.max() < num_classes:
            raise UserError(f"{path}: is corrupt (a label is not below {num_classes})")
        return torch.from_numpy(x.reshape(-1, 3, 32, 32).copy()), torch.from_numpy(y)

    def _field(self, path: Path, name: str) -> Any:
        try:
            return _Plain(io.BytesIO(path.read_bytes()), encoding="latin1").load()[name]
        except Exception as error:  # a damaged pickle raises whatever its bytes lead to
            line = (str(error).splitlines() or ["?"])[0]
            raise UserError(f"{path}: is cut off or corrupt ({line}); download it again") from None


class _Plain(pickle.Unpickler):
    """Reads arrays and plain values; refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        arrays = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
        if module in arrays and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"names {module}.{name}")
