"""EMNIST: handwritten letters and digits of 28 x 28, in six selections.

G. Cohen, S. Afshar, J. Tapson, A. van Schaik (2017), EMNIST, arXiv:1702.05373.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torchvision.datasets import EMNIST

from aetl.data.base import Dataset, Examples, identity_of, stats_of
from aetl.data.download import ensure_files
from aetl.data.idx import read_pair
from aetl.ranges import Text


@dataclass(frozen=True, kw_only=True)
class Emnist(Dataset):
    """Files of torchvision's layout in ``<data_dir>/EMNIST/raw``.

    Its pictures lie on their side; here they stand, as MNIST's do, with which ``digits`` and
    ``mnist`` share the names of their classes.
    """

    data_dir: Text
    download: bool
    selection: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]

    def read(self) -> tuple[Examples, Examples]:
        train_x, train_y, test_x, test_y = self._files()
        return self._read(train_x, train_y), self._read(test_x, test_y)

    def kept_by(self) -> Any:
        """Up to 814 255 images to read and to hash."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        def fetch(scratch: Path) -> None:
            EMNIST(scratch, split=self.selection, download=True)

        names = [f"emnist-{self.selection}-{part}-{what}-ubyte" for part in ("train", "test")
                 for what in ("images-idx3", "labels-idx1")]  # fmt: skip
        folder = Path(self.data_dir).expanduser() / "EMNIST" / "raw"
        return ensure_files(folder, names, fetch if self.download else None)

    def _read(self, images: Path, labels: Path) -> Examples:
        classes = tuple(EMNIST.classes_split_dict[self.selection])
        found = read_pair(images, labels, classes)
        if self.selection == "letters":  # counted from 1
            found = replace(found, y=found.y - 1, classes=classes[1:])
        x = found.x.transpose(2, 3).contiguous()
        return replace(found, x=x, identity=identity_of(x))
