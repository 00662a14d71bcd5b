"""CelebA: 202 599 faces of 178 x 218 with 40 attributes each (task=multilabel).

Z. Liu, P. Luo, X. Wang, X. Tang (2015), Deep learning face attributes in the wild, arXiv:1411.7766.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetl.data.folder import Part, Read
from aetl.data.image_folder import ImageFolder
from aetl.types import UserError

IMAGES, ATTRIBUTES, PARTS = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
TEST = 2


@dataclass(frozen=True, kw_only=True)
class CelebA(ImageFolder):
    """``<data_dir>/celeba`` as torchvision lays it: the folder ``img_align_celeba`` and two lists.

    The validation part joins the training pool, which holds out its own.
    """

    def root(self) -> Path:
        root = Path(self.path).expanduser()
        for name in (IMAGES, ATTRIBUTES, PARTS):
            if not (root / name).exists():
                raise UserError(
                    f"data_dir: {name} is missing in {root}; it is on "
                    "mmlab.ie.cuhk.edu.hk/projects/CelebA.html; set data_dir (or AETL_DATA_DIR) to "
                    "where you put it"
                )
        return root

    def listed(self) -> Read:
        root = self.root()
        rows = list(_rows(root / ATTRIBUTES))
        names = tuple(rows[1][1])
        known = {row[0]: row[1:] for _, row in rows[2:]}
        for number, row in rows[2:]:
            if len(row) != len(names) + 1 or not set(row[1:]) <= {"-1", "1"}:
                raise UserError(f"{root / ATTRIBUTES}: line {number} is no file and {len(names)} "
                                "times -1 or 1")  # fmt: skip
        found: dict[bool, list[str]] = {False: [], True: []}
        for number, row in _rows(root / PARTS):
            if len(row) != 2 or row[1] not in ("0", "1", "2") or row[0] not in known:
                raise UserError(
                    f"{root / PARTS}: line {number} is no file of {ATTRIBUTES} and part"
                )
            found[int(row[1]) == TEST].append(row[0])
        train, test = (self._part(files, known) for files in (found[False], found[True]))
        return Read(train, test, names, [])

    def _part(self, files: list[str], known: dict[str, list[str]]) -> Part:
        folder = self.root() / IMAGES
        y = np.array([known[name] for name in files]).astype(np.int64)
        return Part([folder / name for name in files], torch.from_numpy((y + 1) // 2), None)

    def format_keys(self) -> dict[str, Any]:
        return super().format_keys() | {"set": "celeba"}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of each line, and its number."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if words := line.split():
            yield number, words
