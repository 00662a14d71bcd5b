"""Images of one domain in the size and the channels of another."""

from dataclasses import replace

import torch
from torchvision.transforms.v2 import functional as F

from aetl.data.base import Examples
from aetl.types import UserError

BATCH = 4096


def align(examples: Examples, shape: tuple[int, ...]) -> Examples:
    """``examples`` with the given ``(C, H, W)``: bilinear with antialiasing, grey by luminance.

    The same examples come back where nothing differs. Vectors cannot be aligned.
    """
    if examples.shape == shape:
        return examples
    if len(shape) != 3 or not examples.is_image:
        raise UserError(
            f"the source's examples have shape {shape}, the target's {examples.shape}: only images "
            "can be brought to one size"
        )
    channels, height, width = shape
    parts = []
    for start in range(0, len(examples), BATCH):
        x = examples.x[start : start + BATCH]
        if x.shape[1] != channels:
            x = F.rgb_to_grayscale(x) if channels == 1 else x[:, :1].expand(-1, channels, -1, -1)
        parts.append(F.resize(x, [height, width], antialias=True))
    return replace(examples, x=torch.cat(parts))
