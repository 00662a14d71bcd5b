"""Amazon reviews: is a review of a book, a film, an electronic or a kitchen device good or bad?

J. Blitzer, M. Dredze, F. Pereira (2007), Biographies, Bollywood, boom-boxes and blenders, ACL; as
counts of 5 000 words and pairs of words by M. Chen et al. (2012), arXiv:1206.4683, in the split of
Y. Ganin et al. (2016), JMLR 17(59).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from aetl.data.base import Dataset, Examples, stats_of
from aetl.data.download import ensure_files
from aetl.data.sparse import tensor_of
from aetl.data.svmlight import read_lines
from aetl.ranges import Text

COLUMNS = 5000
CLASSES = ("bad", "good")


@dataclass(frozen=True, kw_only=True)
class Amazon(Dataset):
    """``<data_dir>/AmazonReviews/<domain>_{train,test}.svmlight``, columns from 0, labels -1 and 1.

    2 000 reviews of each domain to train on, 3 586 to 5 945 for the test.
    """

    data_dir: Text
    domain: Literal["books", "dvd", "electronics", "kitchen"]

    def read(self) -> tuple[Examples, Examples]:
        train, test = (self._read(path) for path in self._files())
        return train, test

    def kept_by(self) -> Any:
        """Text is parsed once."""
        files = self._files()
        return stats_of(files, files[0].parent)

    def _files(self) -> list[Path]:
        names = [f"{self.domain}_{part}.svmlight" for part in ("train", "test")]
        folder = Path(self.data_dir).expanduser() / "AmazonReviews"
        return ensure_files(folder, names, None, "it is in the repository GRAAL-Research/domain_"
                            "adversarial_neural_network on GitHub")  # fmt: skip

    def _read(self, path: Path) -> Examples:
        lines = read_lines(path)
        y = torch.from_numpy((lines.labels > 0).astype("int64"))
        return Examples.of(tensor_of(lines.matrix(0, COLUMNS)), y, CLASSES)
