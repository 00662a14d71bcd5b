"""Own images in folders, one folder for each class."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from aetl.data.base import Dataset, Examples, identity_of, stats_of
from aetl.types import UserError

T = TypeVar("T")

SUFFIXES = {
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
}
GREY = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
VALIDATION = {"val", "valid", "validation"}


@dataclass(frozen=True)
class Header:
    """What an image file says before it is decoded."""

    path: Path
    width: int
    height: int
    grey: bool


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Dataset):
    """``path/<class>/*.png``, or with an official test set ``path/{train,test}/<class>/*.png``.

    Images that lie in ``path`` itself, without class folders, have no labels (a source only).
    Images of another size are scaled to ``image_size`` x ``image_size`` (bilinear, antialiased; the
    sides are not kept in proportion); ``image_size: null`` takes the size that most training images
    have. ``channels: null`` is 1 where all training images are grey, else 3. Transparent parts
    become white, 16-bit grey keeps its upper 8 bits, the first frame of an animation counts, and
    the camera's orientation is applied.
    """

    path: str
    image_size: int | None
    channels: Literal[1, 3] | None

    def read(self) -> tuple[Examples, Examples | None]:
        train_root, test_root = _official(self._root())
        classes, labels, headers = _listed(train_root)
        size, channels = self._format(headers)
        train = _decoded(headers, labels, classes, size, channels)
        if test_root is None:
            return train, None
        test_classes, test_labels, test_headers = _listed(test_root)
        if set(test_classes) - set(classes):
            unknown = sorted(set(test_classes) - set(classes))[0]
            raise UserError(f"{test_root}: has class '{unknown}', which {train_root} has not")
        if bool(test_classes) != bool(classes):
            raise UserError(f"{test_root}: has no class folders, but {train_root} has")
        position = [classes.index(name) for name in test_classes]
        test_labels = [position[label] if position else -1 for label in test_labels]
        return train, _decoded(test_headers, test_labels, classes, size, channels)

    def kept_by(self) -> Any:
        """Images are decoded and scaled once."""
        root = self._root()
        parts = [part for part in _official(root) if part is not None]
        files = [path for part in parts for group in _groups(part) for path in group]
        format_ = {"image_size": self.image_size, "channels": self.channels}
        return {"files": stats_of(files, root), **format_}

    def _root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(f"path={self.path}: is not a folder")
        return root

    def _format(self, headers: Sequence[Header]) -> tuple[tuple[int, int], int]:
        """((height, width), channels) of all images."""
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"image_size={self.image_size}: must be at least 1, or null")
        counts = Counter((header.height, header.width) for header in headers)
        # Of equally frequent sizes the smallest, so that the order of the files does not matter.
        common = min(counts, key=lambda size: (-counts[size], size))
        size = common if self.image_size is None else (self.image_size, self.image_size)
        channels = self.channels or (1 if all(header.grey for header in headers) else 3)
        _refuse_too_large(len(headers) * channels * size[0] * size[1], size)
        return size, channels


def _refuse_too_large(num_bytes: int, size: tuple[int, int]) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > memory / 2:
        raise UserError(
            f"image_size: images of {size[1]}x{size[0]} need {num_bytes / 2**30:.1f} GiB, more "
            f"than half of the memory ({memory / 2**30:.1f} GiB); set a smaller image_size"
        )


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _official(root: Path) -> tuple[Path, Path | None]:
    """The folders of training and test, which are ``root`` and None without such folders."""
    names = {folder.name for folder in _folders(root)}
    if "train" not in names or names - {"train", "test"} - VALIDATION:
        return root, None
    if names & VALIDATION:
        name = sorted(names & VALIDATION)[0]
        raise UserError(f"{root / name}: rename it to test, or merge it into train")
    return root / "train", root / "test" if "test" in names else None


def _images(folder: Path, *, deep: bool) -> list[Path]:
    found = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _groups(root: Path) -> list[list[Path]]:
    """The images of each class, or all of them where there are no classes."""
    folders = _folders(root)
    return [_images(folder, deep=True) for folder in folders] or [_images(root, deep=False)]


def _listed(root: Path) -> tuple[tuple[str, ...], list[int], list[Header]]:
    """The classes, and the label (-1 without classes) and header of every image."""
    folders, groups = _folders(root), _groups(root)
    for folder, group in zip(folders or [root], groups, strict=True):
        if not group:
            kinds = " ".join(sorted(SUFFIXES))
            raise UserError(f"{folder}: holds no images ({kinds})")
    paths = [path for group in groups for path in group]
    labels = [label if folders else -1 for label, group in enumerate(groups) for _ in group]
    return tuple(folder.name for folder in folders), labels, threaded(_header, paths)


def threaded(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Decoders release the interpreter's lock, so threads use all cores."""
    with ThreadPoolExecutor(max_workers=min(32, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, paths))


def _opened(path: Path, look: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(path) as image:
            return look(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: is not a readable image ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what the decoders raise
        raise UserError(f"{path}: is cut off or corrupt ({error})") from error


def _header(path: Path) -> Header:
    def look(image: Image.Image) -> Header:
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:  # the camera lay on its side
            width, height = height, width
        grey = image.mode in GREY
        if image.mode in ("I", "F"):
            raise UserError(
                f"{path}: is of mode {image.mode}, 32 bits a pixel; save it with 8 or 16"
            )
        return Header(path, width, height, grey)

    return _opened(path, look)


def _decoded(
    headers: Sequence[Header],
    labels: Sequence[int],
    classes: tuple[str, ...],
    size: tuple[int, int],
    channels: int,
) -> Examples:
    """Every image once to uint8. The identity is that of the pixels before they were resized."""
    one = partial(decode, size=size, channels=channels)
    decoded = threaded(one, [header.path for header in headers])
    x = torch.from_numpy(np.stack([pixels for pixels, _ in decoded]))
    identity = np.array([hashed for _, hashed in decoded], np.uint64)
    return Examples(x, torch.tensor(labels, dtype=torch.int64), classes, identity)


def decode(
    path: Path, size: tuple[int, int], channels: int
) -> tuple[npt.NDArray[np.uint8], np.uint64]:
    def look(image: Image.Image) -> tuple[npt.NDArray[np.uint8], np.uint64]:
        plain = _opaque(ImageOps.exif_transpose(image))
        hashed = identity_of(torch.from_numpy(_array(plain)[None]))[0]
        plain = plain.convert("L" if channels == 1 else "RGB")
        if plain.size != (size[1], size[0]):
            plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return _array(plain), hashed

    return _opened(path, look)


def _array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """uint8 [C, H, W] of an image of mode L or RGB."""
    pixels: npt.NDArray[Any] = np.array(image, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _opaque(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, on white."""
    if image.mode.startswith("I;16"):  # convert would clip at 255 instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        grey = image.mode in GREY
        ground = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(ground, image.convert("RGBA"))
        return flat.convert("L" if grey else "RGB")
    return image.convert("L" if image.mode in GREY else "RGB")
