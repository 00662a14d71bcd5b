"""Own images in folders, one folder for each class."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from aetl.data.arrays import OVERSHOOT, Format, shown, told_of_values
from aetl.data.base import Dataset, Examples, identity_of, stats_of
from aetl.data.labels import normal
from aetl.ranges import Pixels, Text
from aetl.types import UserError

T = TypeVar("T")

SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
CLUTTER = {"thumbs.db", "desktop.ini", "icon\r"}
"""What systems leave in folders."""

GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
DEPTHS = (8, 10, 12, 14, 16)
ANIMATED = {"GIF", "TIFF", "WEBP", "PNG"}

PARTS: dict[str, Literal["train", "test", "validation"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""Names of folders, whatever their case, and which part of a set they hold."""


@dataclass(frozen=True)
class Header:
    """What an image file says before it is decoded; ``top`` is the largest value of deep ones."""

    path: Path
    width: int
    height: int
    grey: bool
    top: int | None
    frames: int


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Dataset):
    """``path/<class>/*.png``, or with an official test set ``path/{train,test}/<class>/*.png``.

    Images that lie in ``path`` itself have no labels; without class folders beside them the set
    can be a source only. ``Training``, ``Testing``, ``val`` and the like are known too: a
    validation part joins the training pool, which holds out its own, or is the test set where
    there is no other. Links are followed.

    Images of another size are scaled to ``image_size`` x ``image_size`` (bilinear, antialiased; the
    sides are not kept in proportion); ``image_size: null`` takes the size that most training images
    have. ``channels: null`` is 1 where all training images are grey, else 3. Transparent parts
    become white, the first frame of an animation counts, and the camera's orientation is applied.
    Of deeper images the upper 8 of their ``bits`` are kept; ``bits: null`` takes the fewest that
    hold every value of the set.
    """

    path: Text
    image_size: Pixels | None
    channels: Literal[1, 3] | None
    bits: Literal[8, 10, 12, 14, 16] | None

    def read(self) -> tuple[Examples, Examples | None]:
        parts = self._parts()
        train = parts.train.labelled_as(parts.train.classes)
        headers = [threaded(_header, part.files) for part in (parts.train, parts.test) if part]
        size, channels = self._format(headers[0])
        bits, notes = _bits(self.bits, [h for part in headers for h in part])
        notes = [*parts.notes, *notes, *_told_of_frames(headers)]
        form = {"size": size, "channels": channels, "bits": bits}
        decoded = partial(_decoded, root=self._root(), classes=parts.train.classes, form=form)
        pool = decoded(parts.train.files, train)
        pool = pool.told(*notes, *told_of_values(pool.x, scaled=False))
        if parts.test is None:
            return pool, None
        labels = parts.test.labelled_as(parts.train.classes)
        return pool, decoded(parts.test.files, labels)

    def kept_by(self) -> Any:
        """Images are decoded and scaled once."""
        parts = self._parts()
        files = [path for part in (parts.train, parts.test) if part for path in part.files]
        format_ = {"image_size": self.image_size, "channels": self.channels, "bits": self.bits}
        return {"files": stats_of(files, self._root()), "notes": parts.notes, **format_}

    def _root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(f"path={self.path}: is not a folder")
        return root

    def _parts(self) -> "Parts":
        try:
            return _parts_of(self._root())
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None

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


@dataclass
class Listed:
    """The image files below one or more folders, and the class of each ('' where it has none)."""

    root: Path
    files: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.names) - {""}))

    def labelled_as(self, classes: tuple[str, ...]) -> list[int]:
        """The row of ``classes`` of each image, -1 without one."""
        unknown = sorted(set(self.classes) - set(classes))
        if unknown and classes:
            raise UserError(
                f"{self.root}: has class '{unknown[0]}', which the training set has not "
                f"({shown(classes)})"
            )
        position = {name: row for row, name in enumerate(classes)}
        return [position.get(name, -1) for name in self.names]

    def joined(self, other: "Listed") -> "Listed":
        return Listed(
            self.root, self.files + other.files, self.names + other.names,
            self.left_out + other.left_out,
        )  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Training pool and official test set, and what there is to tell of the folders."""

    train: Listed
    test: Listed | None
    notes: list[str]


def _parts_of(root: Path) -> Parts:
    """Which folder is which part of the set."""
    found: dict[str, list[Path]] = {"train": [], "test": [], "validation": []}
    others: list[Path] = []
    for folder in _folders(root):
        part = PARTS.get(folder.name.casefold())
        (others if part is None else found[part]).append(folder)
    official = bool(found["train"]) and bool(found["test"] or found["validation"] or not others)
    if not official:
        listed = _listed(root)
        parts = [folder.name for folders in found.values() for folder in folders]
        said = [f"{name}: taken for a class, since {shown(f.name for f in others)} lie beside it"
                for name in parts]  # fmt: skip
        return Parts(listed, None, [*said, *_told(listed)])
    for folders in found.values():
        if len(folders) > 1:
            names = " and ".join(str(folder) for folder in folders)
            raise UserError(f"{names}: are the same part of a set; keep one, or rename one")
    listed_by = {part: _listed(folders[0]) for part, folders in found.items() if folders}
    notes = [line for listed in listed_by.values() for line in _told(listed)]
    for folder in others:
        number = len(_walked(folder, Counter()))
        notes.append(f"{folder.name} beside {found['train'][0].name}: {number} images left out")
    if loose := _loose(root, Counter()):
        notes.append(f"{len(loose)} images beside the folder {found['train'][0].name}: left out")
    train, test = listed_by["train"], listed_by.get("test")
    if (held := listed_by.get("validation")) is not None:
        name, number = held.root.name, len(held.files)
        if test is None:
            test = held
            notes.append(f"{name} is the test set, for want of another ({number} images)")
        else:
            train = train.joined(held)
            notes.append(
                f"{name} joined the training pool ({number} images), of which "
                "validation_fraction is held out"
            )
    if test is not None and bool(test.classes) != bool(train.classes):
        without = test.root if train.classes else train.root
        raise UserError(f"{without}: has no class folders, but the other part of the set has")
    return Parts(train, test, notes)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listed(root: Path) -> Listed:
    """The images of every class below ``root``, and loose ones; refuses a class without any."""
    folders, listed = _folders(root), Listed(root)
    groups = [(normal(f.name), f, _walked(f, listed.left_out)) for f in folders]
    loose = _loose(root, listed.left_out)
    for _, folder, files in groups or [("", root, loose)]:
        if not files:
            kinds = " ".join(sorted(SUFFIXES))
            raise UserError(f"{folder}: holds no images ({kinds})")
    # In the order of their classes, also where two folders are one by Unicode's rules.
    by_class = sorted([*groups, ("", root, loose)], key=lambda group: (not group[0], group[0]))
    for name, _, files in by_class:
        listed.files += files
        listed.names += [name] * len(files)
    return listed


def _told(listed: Listed) -> list[str]:
    loose, notes = listed.names.count(""), []
    if loose and listed.classes:
        notes.append(
            f"{listed.root.name}: {loose} images lie beside the class folders and are without label"
        )
    for why, number in listed.left_out.items():
        notes.append(f"{listed.root.name}: {number} {why}")
    return notes


def _walked(folder: Path, left_out: Counter[str]) -> list[Path]:
    """The images anywhere below, in order; links are followed, each folder but once."""
    found: list[Path] = []
    seen = {os.path.realpath(folder.parent)}  # a link back to the set leads round and round
    for base, names, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(base)
        names[:] = [] if real in seen else sorted(n for n in names if not n.startswith("."))
        if real not in seen:
            found += _chosen([Path(base, name) for name in files], left_out)
        seen.add(real)
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _loose(root: Path, left_out: Counter[str]) -> list[Path]:
    return sorted(_chosen([p for p in root.iterdir() if not p.is_dir()], left_out))


def _chosen(files: Iterable[Path], left_out: Counter[str]) -> list[Path]:
    """Those of the files that are images; why others are not is counted."""
    found = []
    for path in files:
        if path.name.startswith(".") or path.name.casefold() in CLUTTER:
            continue
        if path.is_symlink() and not path.exists():
            left_out["links lead nowhere and are left out"] += 1
        elif path.suffix.lower() not in SUFFIXES:
            suffix = path.suffix or "no ending"
            left_out[f"files ({suffix}) are no images by their name and are left out"] += 1
        elif path.is_file():
            found.append(path)
    return found


def threaded(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Decoders release the interpreter's lock, so threads use all cores."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # of tags that nobody asks for
        return list(pool.map(work, paths))


def _opened(path: Path, look: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(path) as image:
            return look(image)
    except UserError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: is not a readable image ({_line(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        raise UserError(f"{path}: is cut off or corrupt ({_line(error)})") from error
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise UserError(f"{path}: is cut off or corrupt ({_line(error)})") from error


def _line(error: Exception) -> str:
    return (str(error).splitlines() or ["no image"])[0]


def _header(path: Path) -> Header:
    def look(image: Image.Image) -> Header:
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:  # the camera lay on its side
            width, height = height, width
        frames = 1
        if image.format in ANIMATED:
            with suppress(Exception):  # damage behind the first frame is none to us
                frames = getattr(image, "n_frames", 1)
        top = None
        # Pillow has scaled the values of a PGM to 16 bits already.
        if image.mode in DEEP:
            top = 2**16 - 1 if image.format == "PPM" else _top(path, image)
        return Header(path, width, height, _is_grey(image), top, frames)

    return _opened(path, look)


def _top(path: Path, image: Image.Image) -> int:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**16:
        raise UserError(f"{path}: holds {low} to {high} in 32 bits a pixel; save it with 8 or 16")
    return high


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") and image.palette is not None:
        colours = np.array(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in GREY


def _bits(given: int | None, headers: Sequence[Header]) -> tuple[int, list[str]]:
    """How many bits the values of deep images have, and what is told of a guess."""
    tops = [header.top for header in headers if header.top is not None]
    if given is not None or not tops:
        return given or 16, []
    bits = next(depth for depth in DEPTHS if max(tops) < 2**depth)
    if bits == 16:
        return 16, []
    return bits, [
        f"{len(tops)} images of 16 bits hold no value above {max(tops)}, and are read as of {bits} "
        "bits (bits=16 for the whole range)"
    ]


def _told_of_frames(headers: Iterable[Sequence[Header]]) -> list[str]:
    number = sum(header.frames > 1 for part in headers for header in part)
    return [f"{number} files hold several images: the first of each is used"] if number else []


def _decoded(
    files: Sequence[Path], labels: Sequence[int], *, root: Path, classes: tuple[str, ...],
    form: dict[str, Any],
) -> Examples:  # fmt: skip
    """Every image once to uint8. The identity is that of the pixels before they were resized."""
    decoded = threaded(partial(decode, **form), files)
    x = torch.from_numpy(np.stack([pixels for pixels, _ in decoded]))
    identity = np.array([hashed for _, hashed in decoded], np.uint64)
    names = np.array([file.relative_to(root).as_posix() for file in files], np.str_)
    y = torch.tensor(labels, dtype=torch.int64)
    read = Format("image", "first", bits=form["bits"])
    return Examples(x, y, classes, identity, files=names, form=read)


def decode(
    path: Path, size: tuple[int, int], channels: int, bits: int = 16
) -> tuple[npt.NDArray[np.uint8], np.uint64]:
    """The pixels of a file, uint8 [C, H, W], and the identity of the picture."""

    def look(image: Image.Image) -> tuple[npt.NDArray[np.uint8], np.uint64]:
        plain = _opaque(path, ImageOps.exif_transpose(image), image.format or "", bits)
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


def _opaque(path: Path, image: Image.Image, format_: str, bits: int) -> Image.Image:
    """The image in mode L or RGB, on white."""
    if image.mode in DEEP:  # convert would clip at 255 instead of scaling
        depth = 16 if format_ == "PPM" else bits
        values = np.asarray(image).astype(np.int64).clip(0, 2**depth - 1)
        return Image.fromarray((values >> (depth - 8)).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(_from_floats(path, np.asarray(image)))
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        assert found is not None
        return found
    grey = _is_grey(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(ground, image.convert("RGBA"))
        return flat.convert("L" if grey else "RGB")
    return image.convert("L" if grey else "RGB")


def _from_floats(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise UserError(f"{path}: holds NaN or infinity")
    if values.min() < -OVERSHOOT or values.max() > 1 + OVERSHOOT:
        raise UserError(
            f"{path}: holds floats of {values.min():g} to {values.max():g}; save them in 0..1, or "
            "as integers of 8 or 16 bits"
        )
    return np.round(values.clip(0, 1) * 255.0).astype(np.uint8)
