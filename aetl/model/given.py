"""What a model may be given: files, a folder, arrays by name, an array, a table, examples.

Read in parts, so that a folder needs no more memory than a part of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetl.data.align import align
from aetl.data.arrays import Layout
from aetl.data.base import Examples
from aetl.data.folder import threaded
from aetl.data.image_folder import SUFFIXES, decode
from aetl.data.npz import load_arrays
from aetl.model.preprocessing import Preprocessing
from aetl.types import UserError


class Given(ABC):
    """Raw examples in order.

    ``names`` are those of their files, where each has its own, ``rows`` their places in a file.
    """

    names: Sequence[str] | None = None
    rows: np.ndarray | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def part(self, start: int, stop: int) -> Examples:
        """Some of them as the network sees them."""


class Prepared(Given):
    """Examples that went through everything already: a run's own."""

    def __init__(self, examples: Examples) -> None:
        self.examples, self.rows = examples, examples.rows
        self.names = None if examples.files is None else examples.files.tolist()

    def __len__(self) -> int:
        return len(self.examples)

    def part(self, start: int, stop: int) -> Examples:
        return self.examples.subset(np.arange(start, stop))


class Arrays(Given):
    """Raw examples in memory."""

    def __init__(self, x: Tensor, preprocessing: Preprocessing) -> None:
        self.x, self.preprocessing = x, preprocessing

    def __len__(self) -> int:
        return len(self.x)

    def part(self, start: int, stop: int) -> Examples:
        return self.preprocessing(self.x[start:stop])


class ImageFiles(Given):
    """Images in files of their own, decoded when their turn comes."""

    def __init__(self, files: Sequence[Path], names: list[str], prep: Preprocessing) -> None:
        self.files, self.names, self.preprocessing = list(files), names, prep
        self.channels, *self.size = prep.read_shape

    def __len__(self) -> int:
        return len(self.files)

    def part(self, start: int, stop: int) -> Examples:
        pixels = np.stack(threaded(self._read, self.files[start:stop]))
        return self.preprocessing(torch.from_numpy(pixels))

    def _read(self, file: Path) -> np.ndarray:
        height, width = self.size
        bits = self.preprocessing.form.bits
        return decode(file, size=(height, width), channels=self.channels, bits=bits)[0]


def given(data: Any, preprocessing: Preprocessing, layout: Layout = "auto") -> Given:
    """``data`` as a model takes it.

    A path of an image, a folder of images, or an ``.npz`` of arrays; several paths of images; an
    array or a tensor of examples, or one mapping them by name; ``Examples``. ``UserError``
    for what is none of these, or does not fit the model.
    """
    if isinstance(data, Given):
        return data
    if isinstance(data, Examples):
        return _examples(data, preprocessing)
    if isinstance(data, str | Path):
        return _path(Path(data).expanduser(), preprocessing, layout)
    if isinstance(data, Tensor):
        data = data.detach().cpu().numpy()
    if isinstance(data, np.ndarray) and data.dtype.kind not in "OU":
        return Arrays(preprocessing.read("data", data, layout), preprocessing)
    if isinstance(data, Mapping):
        return _named("data", data, preprocessing, layout)
    if isinstance(data, Sequence) and data and all(isinstance(d, str | Path) for d in data):
        return _images([Path(d).expanduser() for d in data], None, preprocessing)
    raise UserError(
        f"data of type {type(data).__name__}: expected a path, paths of images, an array, "
        "or examples"
    )


def _examples(examples: Examples, preprocessing: Preprocessing) -> Given:
    """A data set's own, scaled by its own config already: images are brought to one size."""
    if examples.kind != preprocessing.kind:
        raise UserError(f"data are {examples.kind}s; this model takes {preprocessing.takes}")
    if examples.kind == "image" and examples.shape != preprocessing.shape:
        for shape in (preprocessing.read_shape, preprocessing.shape):
            examples = align(examples, shape)
    if examples.shape != preprocessing.shape:
        raise UserError(
            f"data are of shape {examples.shape}; this model takes {preprocessing.takes}"
        )
    return Prepared(examples)


def _path(path: Path, preprocessing: Preprocessing, layout: Layout) -> Given:
    if path.is_dir():
        return _folder(path, preprocessing)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".npz":
        return _named(str(path), load_arrays(path), preprocessing, layout)
    if path.suffix.lower() in SUFFIXES:
        return _images([path], path.parent, preprocessing)
    kinds = " ".join(sorted({".npz", *SUFFIXES}))
    raise UserError(f"{path}: is of no known kind ({kinds})")


def _folder(folder: Path, preprocessing: Preprocessing) -> Given:
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        raise UserError(f"{folder}: holds no images ({' '.join(sorted(SUFFIXES))})")
    return _images(files, folder, preprocessing)


def _images(files: list[Path], root: Path | None, preprocessing: Preprocessing) -> Given:
    if preprocessing.kind != "image":
        raise UserError(f"{files[0]}: is an image, and this model takes {preprocessing.takes}")
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: there is no such file")
    names = [str(file if root is None else file.relative_to(root)) for file in files]
    return ImageFiles(files, names, preprocessing)


def _named(
    where: str, arrays: Mapping[str, Any], preprocessing: Preprocessing, layout: Layout
) -> Given:
    """The array ``x``, or of a file with its own test set ``x_test``."""
    for name in ("x", "x_test"):
        if name in arrays:
            x = preprocessing.read(f"{where}: {name}", np.asarray(arrays[name]), layout)
            return Arrays(x, preprocessing)
    raise UserError(f"{where}: has no array x or x_test; it holds {', '.join(arrays) or 'nothing'}")
