"""What a model may be given: files, a folder, arrays by name, an array, a table, examples.

Read in parts, so that a folder needs no more memory than a part of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetl.data.align import align
from aetl.data.arrays import Layout
from aetl.data.audio_folder import AudioFolder
from aetl.data.base import Examples
from aetl.data.folder import threaded
from aetl.data.image_folder import SUFFIXES, decode
from aetl.data.npz import load_arrays
from aetl.data.sound import Sound
from aetl.data.sparse import rows_of
from aetl.data.table import examples_of, no_column, read_frame, texts
from aetl.data.text_folder import TextFolder, text_in
from aetl.data.tokens import Tokens
from aetl.data.ts import read_ts
from aetl.data.words import Words
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
        return self.preprocessing(rows_of(self.x, torch.arange(start, min(stop, len(self.x)))))


class Files(Given):
    """Recordings or texts in files of their own, read when their turn comes."""

    def __init__(
        self, files: Sequence[Path], names: list[str], prep: Preprocessing,
        read: Callable[[list[Path]], Tensor],
    ) -> None:  # fmt: skip
        self.files, self.names, self.preprocessing, self.read = list(files), names, prep, read

    def __len__(self) -> int:
        return len(self.files)

    def part(self, start: int, stop: int) -> Examples:
        return self.preprocessing(self.read(self.files[start:stop]))


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
        form = self.preprocessing.form
        size = (height, width)
        return decode(file, size=size, channels=self.channels, bits=form.bits, fit=form.fit)[0]


def given(data: Any, preprocessing: Preprocessing, layout: Layout = "auto") -> Given:
    """``data`` as a model takes it.

    A path of an image, a table (of texts, too), a recording, a text, a folder of them, a ``.ts``,
    or an ``.npz`` of arrays; several paths of images; an array or a tensor of examples, or one
    mapping them by name; ``Examples``. ``UserError`` for what is none of these, or does not fit
    the model.
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
    if path.is_file() and path.suffix.lower() in TABLES and "columns" in preprocessing.reading:
        return _table(path, preprocessing)
    if path.is_file() and path.suffix.lower() in TABLES and _are_texts(preprocessing.reading):
        return _rows_of_text(path, preprocessing)
    if path.is_file() and path.suffix.lower() == ".ts" and preprocessing.kind == "series":
        return _series(path, preprocessing)
    if path.is_file() and path.suffix.lower() in _suffixes(preprocessing) - SUFFIXES:
        return _files([path], path.parent, preprocessing)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".npz":
        return _named(str(path), load_arrays(path), preprocessing, layout)
    if path.suffix.lower() in SUFFIXES:
        return _images([path], path.parent, preprocessing)
    kinds = " ".join(sorted({".npz", *_suffixes(preprocessing)}))
    raise UserError(f"{path}: is of no known kind ({kinds})")


TABLES = frozenset({".csv", ".tsv", ".parquet", ".pq"})


def _suffixes(preprocessing: Preprocessing) -> frozenset[str]:
    """The endings of what a model reads, by what it was made from."""
    reading = preprocessing.reading
    if "columns" in reading:
        return TABLES
    if "sound" in reading:
        return AudioFolder.wanted.suffixes
    if preprocessing.kind == "series":
        return frozenset({".ts"})
    return TextFolder.wanted.suffixes if _are_texts(reading) else frozenset(SUFFIXES)


def _table(path: Path, preprocessing: Preprocessing) -> Given:
    frame, _ = read_frame(path, **preprocessing.reading["table"])
    found = examples_of(str(path), frame, preprocessing.reading["columns"])
    return Arrays(found.x, preprocessing)


def _rows_of_text(path: Path, preprocessing: Preprocessing) -> Given:
    """A text in each row, in the column that the run's own had."""
    known: dict[str, Any] = {"encoding": "utf-8", "text": "text", "separator": None}
    known |= preprocessing.reading.get("texts", {})
    frame, _ = read_frame(path, known["separator"], ".", known["encoding"], [])
    if known["text"] not in frame:
        raise no_column("text", known["text"], path, frame)
    return Arrays(
        _words(preprocessing.reading)(texts(frame[known["text"]]).tolist()), preprocessing
    )


def _series(path: Path, preprocessing: Preprocessing) -> Given:
    """The series of a .ts; shorter ones than the run's end in moments that are absent."""
    signals, _ = read_ts(path)
    channels, length = preprocessing.read_shape
    x = np.full((len(signals), channels, length), np.nan, np.float32)
    for row, signal in enumerate(signals):
        if len(signal) != channels or signal.shape[1] > length:
            raise UserError(
                f"{path}: series {row} has {len(signal)} channels of {signal.shape[1]} moments; "
                f"this model takes {channels} of at most {length}"
            )
        x[row, :, : signal.shape[1]] = signal
    return Arrays(torch.from_numpy(x), preprocessing)


def _files(files: list[Path], root: Path, preprocessing: Preprocessing) -> Given:
    """Recordings or texts, read as the run read its own."""
    names = [str(file.relative_to(root)) for file in files]
    if "sound" in preprocessing.reading:
        sound = Sound.from_dict(preprocessing.reading["sound"])
        return Files(
            files, names, preprocessing,
            lambda some: torch.from_numpy(np.stack(threaded(sound.read, some))),
        )  # fmt: skip
    words = _words(preprocessing.reading)
    encoding = preprocessing.reading.get("texts", {}).get("encoding", "utf-8")
    return Files(
        files, names, preprocessing, lambda some: words([text_in(file, encoding) for file in some])
    )


def _are_texts(reading: Mapping[str, Any]) -> bool:
    return "words" in reading or "tokens" in reading


def _words(reading: Mapping[str, Any]) -> Words | Tokens:
    """What texts become, as it was fitted."""
    if "tokens" in reading:
        return Tokens.from_dict(reading["tokens"])
    return Words.from_dict(reading["words"])


def _folder(folder: Path, preprocessing: Preprocessing) -> Given:
    suffixes = _suffixes(preprocessing)
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in suffixes
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        what = "images" if suffixes == SUFFIXES else "files that this model reads"
        raise UserError(f"{folder}: holds no {what} ({' '.join(sorted(suffixes))})")
    if "sound" in preprocessing.reading or _are_texts(preprocessing.reading):
        return _files(files, folder, preprocessing)
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
