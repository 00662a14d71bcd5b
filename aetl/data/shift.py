"""A shift that makes another domain out of any image set."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from aetl.ranges import NonNegative, Pixels
from aetl.rng import Rng
from aetl.types import UserError

# Images shifted in one call; also the unit in which noise is drawn, so it is part of the results.
BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Changes of images, always in this order: resize, rotation, blur, contrast, invert, noise.

    - ``resize``: side in pixels of the square that the image is scaled to (bilinear, antialiased);
      null keeps the size.
    - ``rotation``: degrees, counter-clockwise about the centre (bilinear); corners become 0.
    - ``blur``: standard deviation in pixels of a Gaussian (the kernel is cut at the image's size).
    - ``contrast``: factor on the distance from the image's own mean; 1 keeps it, 0 is flat grey.
    - ``invert``: 255 - x.
    - ``noise``: standard deviation, in units of [0, 1], of Gaussian noise; it is fixed once, by the
      example's position in the files, as if the sensor had been that bad.

    Results are rounded and clipped to uint8.
    """

    rotation: Annotated[float, Interval(ge=-360, le=360)]
    invert: bool
    noise: NonNegative
    blur: NonNegative
    contrast: NonNegative
    resize: Pixels | None

    def __post_init__(self) -> None:
        for key in ("noise", "blur", "contrast"):
            if not getattr(self, key) >= 0:
                raise UserError(f"shift.{key}={getattr(self, key)}: must be at least 0")
        if not math.isfinite(self.rotation):
            raise UserError(f"shift.rotation={self.rotation}: must be a number of degrees")
        if self.resize is not None and self.resize < 1:
            raise UserError(f"shift.resize={self.resize}: must be at least 1, or null")

    @property
    def neutral(self) -> bool:
        return not self.name()

    def name(self) -> str:
        """What is changed, e.g. ``rotation=45, invert``; empty where nothing is."""
        parts = [
            f"resize={self.resize}" if self.resize is not None else "",
            f"rotation={self.rotation:g}" if self.rotation % 360 else "",
            f"blur={self.blur:g}" if self.blur else "",
            f"contrast={self.contrast:g}" if self.contrast != 1 else "",
            "invert" if self.invert else "",
            f"noise={self.noise:g}" if self.noise else "",
        ]
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        return self.name()

    def apply(self, x: Tensor, rows: Int[np.ndarray, " N"], rng: Rng) -> Shaped[Tensor, "N ..."]:
        """``x`` shifted; ``rows`` are ascending positions, which with ``rng`` fix the noise.

        Raises ``UserError`` where ``x`` are vectors and the shift is not neutral.
        """
        if self.neutral:
            return x
        if x.dtype != torch.uint8 or x.ndim != 4:
            what = "vectors" if x.is_floating_point() or x.ndim != 2 else "tokens"
            raise UserError(f"shift ({self.name()}): shifts are for images, and these are {what}")
        if not len(x):
            return self._moved(x)
        blocks, starts = np.unique(rows // BLOCK, return_index=True)
        ends = [*starts[1:].tolist(), len(rows)]
        parts = []
        for block, start, end in zip(blocks.tolist(), starts.tolist(), ends, strict=True):
            moved = self._moved(x[start:end])
            within = torch.from_numpy(rows[start:end] % BLOCK)
            parts.append(self._noisy(moved, within, rng.fork("noise", block)))
        return torch.cat(parts)

    def _moved(self, x: UInt8[Tensor, "n C H W"]) -> UInt8[Tensor, "n C h w"]:
        """Everything but the noise."""
        from torchvision.transforms.v2 import functional as tv  # slow to import

        if self.resize is not None:
            x = tv.resize(x, [self.resize, self.resize], antialias=True)
        if self.rotation % 360:
            x = tv.rotate(x, self.rotation, interpolation=tv.InterpolationMode.BILINEAR)
        if self.blur:
            x = tv.gaussian_blur(x, self._kernel(x), [self.blur, self.blur])
        if self.contrast != 1:
            # Not tv.adjust_contrast: it takes 1 or 3 channels only and truncates the mean.
            values = x.float()
            mean = values.mean((1, 2, 3), keepdim=True)
            x = (mean + self.contrast * (values - mean)).round().clamp(0, 255).to(torch.uint8)
        return tv.invert(x) if self.invert else x

    def _kernel(self, x: Tensor) -> list[int]:
        """Odd sizes (width, height) that hold three deviations and that reflection can pad."""
        reach = math.ceil(3 * self.blur)
        return [2 * min(reach, side - 1) + 1 for side in (x.shape[3], x.shape[2])]

    def _noisy(self, x: Tensor, within: Tensor, rng: Rng) -> Tensor:
        if not self.noise:
            return x
        # A whole block is drawn whatever part of it is there: the noise of a row stays its own.
        drawn = rng.normal(torch.empty(BLOCK, *x.shape[1:]))[within]
        return (x + 255 * self.noise * drawn).round_().clamp_(0, 255).to(torch.uint8)
