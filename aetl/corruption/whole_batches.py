"""torchvision's transforms on whole batches, each image by its own draw: the same images.

A transform of torchvision draws once for all that it is given. What each image would draw alone is
drawn first (``make_params``), and the batch is then transformed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms import InterpolationMode, v2

Params = dict[str, Any] | None
"""What an image draws of a transform; None: it is left as it is."""
Images = Float[Tensor, "B C H W"]
Kernel = Callable[[Any, Images, Sequence[Params]], Images]


def whole(transform: Any) -> Kernel | None:
    """What does the same to a batch; None: images have to go one by one."""
    kind = type(transform)
    if kind is v2.RandomAffine:
        modes = ("nearest", "bilinear")
        plain = InterpolationMode(transform.interpolation).value in modes
        return _affine if plain and isinstance(transform.fill, int | float) else None
    if kind is v2.RandomErasing:
        return _erase if transform.value is not None else None
    return {v2.RandomHorizontalFlip: _mirror, v2.RandomVerticalFlip: _turn}.get(kind)


def drawn(transform: Any, image: Float[Tensor, "C H W"]) -> Params:
    """What the transform draws for an image, in the order in which it draws."""
    if not isinstance(transform, v2.RandomAffine) and torch.rand(1) >= transform.p:
        return None
    params: dict[str, Any] = transform.make_params([image])
    return params


def _affine(transform: Any, x: Images, params: Sequence[Params]) -> Images:
    height, width = x.shape[-2:]
    center = transform.center or (0.5 * width, 0.5 * height)
    about = center[0] - 0.5 * width, center[1] - 0.5 * height
    maps = [_inverse(about=about, **one) for one in params if one is not None]
    theta = torch.tensor(maps, dtype=x.dtype, device=x.device).view(-1, 2, 3).transpose(1, 2)
    theta = theta / theta.new_tensor([0.5 * width, 0.5 * height])
    rows, columns = (
        torch.linspace(-0.5 * (n - 1.0), 0.5 * (n - 1.0), n, dtype=x.dtype, device=x.device)
        for n in (height, width)
    )
    y, at = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([at, y, torch.ones_like(y)], dim=-1).view(1, -1, 3)
    grid = pixels.expand(len(x), -1, -1).bmm(theta).view(len(x), height, width, 2)
    # What lies within the image beside it, to fill the rest.
    mode = InterpolationMode(transform.interpolation).value
    inside = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    moved = grid_sample(inside, grid, mode=mode, padding_mode="zeros", align_corners=False)
    moved, share = moved[:, :-1], moved[:, -1:]
    fill = float(transform.fill)
    if mode == "nearest":
        return torch.where(share < 0.5, fill, moved)
    return (moved - fill) * share + fill


def _inverse(
    *, about: tuple[float, float], angle: float, translate: Sequence[int], scale: float,
    shear: Sequence[float],
) -> list[float]:  # fmt: skip
    """The rows [2, 3] that lead from a place after the map to the one before it.

    The map shears by x and y, scales, rotates about a point, and translates, as torchvision's
    ``affine`` has it; places count from the middle of the image, in pixels.
    """
    turn, by_x, by_y = (math.radians(value) for value in (angle, *shear))
    a = math.cos(turn - by_y) / math.cos(by_y)
    b = -(a * math.tan(by_x) + math.sin(turn))
    c = math.sin(turn - by_y) / math.cos(by_y)
    d = math.cos(turn) - c * math.tan(by_x)
    first, second = (d / scale, -b / scale), (-c / scale, a / scale)
    x, y = about[0] + translate[0], about[1] + translate[1]
    return [
        *first, about[0] - first[0] * x - first[1] * y,
        *second, about[1] - second[0] * x - second[1] * y,
    ]  # fmt: skip


def _erase(transform: Any, x: Images, params: Sequence[Params]) -> Images:
    gone = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool)
    for i, one in enumerate(params):
        if one is not None and one["v"] is not None:
            gone[i, :, one["i"] : one["i"] + one["h"], one["j"] : one["j"] + one["w"]] = True
    value = torch.tensor(transform.value, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    return torch.where(gone.to(x.device), value, x)


def _mirror(transform: Any, x: Images, params: Sequence[Params]) -> Images:
    return _where_drawn(params, x.flip(-1), x)


def _turn(transform: Any, x: Images, params: Sequence[Params]) -> Images:
    return _where_drawn(params, x.flip(-2), x)


def _where_drawn(params: Sequence[Params], altered: Images, x: Images) -> Images:
    chosen = torch.tensor([one is not None for one in params], device=x.device)
    return torch.where(chosen.view(-1, 1, 1, 1), altered, x)
