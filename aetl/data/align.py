"""Images and series of one domain in the size and the channels of another."""

from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from aetl.data.base import Examples
from aetl.types import UserError

BATCH = 4096


def align(examples: Examples, shape: tuple[int, ...]) -> Examples:
    """``examples`` with the given ``(C, H, W)``: bilinear with antialiasing, grey by luminance.

    The same examples come back where nothing differs. Series of as many channels are brought to the
    other length by linear interpolation; of other kinds nothing but images can be aligned. One
    channel is grey, three are red, green and blue, four have opacity as the last: transparent
    parts become white. Any other number says nothing of what its channels mean.
    """
    if examples.shape == shape:
        return examples
    if examples.kind == "series" and len(shape) == 2 and shape[0] == examples.shape[0]:
        return _lengthened(examples, shape[1])
    if len(shape) != 3 or not examples.is_image:
        raise UserError(
            f"the source's examples have shape {shape}, the target's {examples.shape}: only "
            "images, and series of as many channels, can be brought to one size; vectors need as "
            "many columns, or names for them"
        )
    channels, height, width = shape
    own = examples.shape[0]
    if channels != own:
        _refuse_unknown(own, channels)
        examples = examples.told(_told(own, channels, len(examples)))
    parts = []
    for start in range(0, len(examples), BATCH):
        x = with_channels(examples.x[start : start + BATCH], channels)
        parts.append(F.resize(x, [height, width], antialias=True))
    return replace(examples, x=torch.cat(parts))


def _lengthened(examples: Examples, length: int) -> Examples:
    parts = [
        interpolate(examples.x[start : start + BATCH], length, mode="linear", align_corners=True)
        for start in range(0, len(examples), BATCH)
    ]
    line = f"{len(examples)} series of length {examples.shape[1]} were stretched to {length}"
    return replace(examples, x=torch.cat(parts)).told(line)


def with_channels(x: UInt8[Tensor, "n C H W"], channels: int) -> UInt8[Tensor, "n c H W"]:
    """Images of 1 (grey), 3 (colour) or 4 (colour and opacity) channels as such of another."""
    if x.shape[1] == channels:
        return x
    if x.shape[1] == 4:
        opacity = x[:, 3:].float() / 255
        x = (x[:, :3] * opacity + 255 * (1 - opacity)).round().to(torch.uint8)
    if channels == 1:
        grey: Tensor = F.rgb_to_grayscale(x)
        return grey
    colour = x.expand(-1, 3, -1, -1)
    return torch.cat([colour, torch.full_like(x[:, :1], 255)], 1) if channels == 4 else colour


def _refuse_unknown(own: int, channels: int) -> None:
    if not {own, channels} <= {1, 3, 4}:
        raise UserError(
            f"the source's images have {channels} channels, the target's {own}: only grey (1), "
            "colour (3) and colour with opacity (4) can be made of each other; save both with the "
            "same channels"
        )


def _told(own: int, channels: int, number: int) -> str:
    names = {1: "grey", 3: "colour", 4: "colour with opacity"}
    done = f"{number} images of {own} channels ({names[own]}) were made {names[channels]}"
    if own == 4:
        return f"{done} by laying them on white: the fourth channel was taken as opacity"
    return f"{done} with full opacity" if channels == 4 else done
