"""Own images in folders, one folder for each class."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from aetl.data import mapped
from aetl.data.arrays import OVERSHOOT, Fit, Format, told_of_values
from aetl.data.base import Examples, identity_of_rows
from aetl.data.folder import Folder, Part, Wanted, threaded
from aetl.ranges import Pixels
from aetl.types import UserError

T = TypeVar("T")

SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
BLOCK = 4096
DEPTHS = (8, 10, 12, 14, 16)
ANIMATED = {"GIF", "TIFF", "WEBP", "PNG"}


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
class ImageFolder(Folder):
    """Images in folders.

    Images of another size are scaled to ``image_size`` x ``image_size`` (bilinear, antialiased);
    ``image_size: null`` takes the size that most training images have, and where no size is that of
    half of them, their median height and width. Where the sides are in other
    proportions, ``fit`` pads what is missing with the image's own rim (the median of its outermost
    pixels), crops what is too much on both sides, or stretches. ``channels: null`` is 1 where all
    training images are grey, else 3. Transparent parts become white, the first frame of an
    animation counts, and the camera's orientation is applied. Of deeper images the upper 8 of their
    ``bits`` are kept; ``bits: null`` takes the fewest that hold every value of the set.
    """

    wanted = Wanted("images", frozenset(SUFFIXES))
    image_size: Pixels | None
    fit: Fit
    channels: Literal[1, 3] | None
    bits: Literal[8, 10, 12, 14, 16] | None

    def read(self) -> tuple[Examples, Examples | None]:
        read = self.listed()
        parts = [part for part in (read.train, read.test) if part is not None]
        headers = [threaded(_header, part.files) for part in parts]
        size, channels = self._format(headers[0])
        bits, notes = _bits(self.bits, [h for part in headers for h in part])
        notes = [*read.notes, *notes, *_told_of_frames(headers)]
        notes += self._told_of_sizes(headers, size)
        form = {"size": size, "channels": channels, "bits": bits, "fit": self.fit}
        sets = [_decoded(part, read.classes, root=self.root(), form=form) for part in parts]
        pool = sets[0].told(*notes, *told_of_values(sets[0].x, scaled=False))
        return pool, sets[1] if read.test is not None else None

    def format_keys(self) -> dict[str, Any]:
        names = ("image_size", "fit", "channels", "bits")
        return {name: getattr(self, name) for name in names}

    def _told_of_sizes(
        self, headers: Iterable[Sequence[Header]], size: tuple[int, int]
    ) -> list[str]:
        """A line where images of several proportions become one."""
        every = [header for part in headers for header in part]
        height, width = size
        # Not told of a pixel, which rounding gives and takes.
        other = [h for h in every if abs(h.width * height - h.height * width) > h.width + h.height]
        if not other or len({(h.width, h.height) for h in every}) == 1:
            return []
        ways = {"pad": "padded with their rim", "crop": "cropped", "stretch": "stretched"}
        others = " or ".join(f"fit={way}" for way in ways if way != self.fit)
        return [
            f"{len(other)} of {len(every)} images are in other proportions than {width}x{height}, "
            f"and are {ways[self.fit]} ({others} changes that)"
        ]

    def _format(self, headers: Sequence[Header]) -> tuple[tuple[int, int], int]:
        """((height, width), channels) of all images."""
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"image_size={self.image_size}: must be at least 1, or null")
        counts = Counter((header.height, header.width) for header in headers)
        # Of equally frequent sizes the smallest, so that the order of the files does not matter.
        common = min(counts, key=lambda size: (-counts[size], size))
        if 2 * counts[common] < counts.total():
            heights, widths = zip(*counts.elements(), strict=True)
            common = (median_low(heights), median_low(widths))
        size = common if self.image_size is None else (self.image_size, self.image_size)
        channels = self.channels or (1 if all(header.grey for header in headers) else 3)
        _refuse_too_large(len(headers) * channels * size[0] * size[1], size)
        return size, channels


def _refuse_too_large(num_bytes: int, size: tuple[int, int]) -> None:
    room = mapped.room()
    if 2 * num_bytes > room:  # while they are written to the store they are there twice
        raise UserError(
            f"image_size: images of {size[1]}x{size[0]} need {2 * num_bytes / 2**30:.1f} GiB on "
            f"disk, where {room / 2**30:.1f} GiB are free; set a smaller image_size"
        )


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
        if _may_be_turned(path, image) and image.getexif().get(0x0112, 1) >= 5:  # on its side
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


def _may_be_turned(path: Path, image: Image.Image) -> bool:
    """Whether it may say how the camera lay. Pillow decodes a whole PNG to know: that may be said
    behind the pixels."""
    if image.format != "PNG":
        return True
    content = path.read_bytes()
    return any(mark in content for mark in (b"eXIf", b"exif", b"XML:com.adobe.xmp"))


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


def _decoded(part: Part, classes: tuple[str, ...], *, root: Path, form: dict[str, Any]) -> Examples:
    """Every image once to uint8. The identity is that of the pixels before they were resized."""
    number, size, channels = len(part.files), form["size"], form["channels"]
    x = mapped.empty((number, channels, *size), np.uint8)
    identity = np.empty(number, np.uint64)
    for start in range(0, number, BLOCK):  # so that no more than a block is held twice
        done = threaded(partial(decode, **form), part.files[start : start + BLOCK])
        for row, (pixels, hashed) in enumerate(done, start):
            x[row], identity[row] = pixels, hashed
    names = np.array([file.relative_to(root).as_posix() for file in part.files], np.str_)
    read = Format("image", "first", bits=form["bits"], fit=form["fit"])
    return Examples(
        torch.from_numpy(x), part.y, classes, identity, group=part.group, files=names, form=read
    )


def decode(
    path: Path, size: tuple[int, int], channels: int, bits: int = 16, fit: Fit = "stretch"
) -> tuple[npt.NDArray[np.uint8], np.uint64]:
    """The pixels of a file, uint8 [C, H, W], and the identity of the picture."""

    def look(image: Image.Image) -> tuple[npt.NDArray[np.uint8], np.uint64]:
        plain = _opaque(path, ImageOps.exif_transpose(image), image.format or "", bits)
        hashed = identity_of_rows(_array(plain)[None])[0]
        plain = plain.convert("L" if channels == 1 else "RGB")
        return _array(fitted(plain, (size[1], size[0]), fit)), hashed

    return _opened(path, look)


def fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """An image of mode L or RGB in this (width, height)."""
    bilinear = Image.Resampling.BILINEAR
    if image.size == size:
        return image
    if fit == "stretch" or image.width * size[1] == image.height * size[0]:
        return image.resize(size, bilinear)
    if fit == "crop":
        return ImageOps.fit(image, size, bilinear)
    return ImageOps.pad(image, size, bilinear, color=_rim(image))


def _rim(image: Image.Image) -> int | tuple[int, ...]:
    """The median of the outermost pixels."""
    pixels = _array(image)
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    color = [int(value) for value in np.median(np.concatenate(sides, axis=1), axis=1)]
    return color[0] if len(color) == 1 else tuple(color)


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
