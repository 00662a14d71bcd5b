"""Linear heads as modules, for graphs that leave Python: the same numbers from the same arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn


class Linear(nn.Module):
    """``W (x - mean) / scale + b``, in float64."""

    def __init__(self, scaler: StandardScaler, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        units = {"mean": scaler.mean_, "scale": scaler.scale_}
        map_ = {"weight": np.atleast_2d(weight).T, "bias": np.atleast_1d(bias)}
        for name, array in (units | map_).items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float64, order="C")))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        mean, scale, weight, bias = (
            self.get_buffer(n) for n in ("mean", "scale", "weight", "bias")
        )
        return ((x - mean) / scale) @ weight + bias


class Probabilities(nn.Module):
    """Of ``output_dim`` classes, where the linear scores are those of ``classes`` (of two: one)."""

    def __init__(self, linear: Linear, classes: np.ndarray, output_dim: int) -> None:
        super().__init__()
        self.linear = linear
        places = torch.zeros(len(classes), output_dim, dtype=torch.float64)
        places[torch.arange(len(classes)), torch.from_numpy(np.asarray(classes))] = 1.0
        self.register_buffer("places", places)
        self.binary = len(classes) == 2

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        score = self.linear(x)
        if self.binary:
            presence = torch.sigmoid(score)
            known = torch.cat([1 - presence, presence], 1)
        else:
            known = torch.softmax(score, 1)
        return known @ self.get_buffer("places")


class Constant(nn.Module):
    """One class for all: the labels at hand knew no other."""

    def __init__(self, chosen: int, output_dim: int) -> None:
        super().__init__()
        row = torch.zeros(1, output_dim, dtype=torch.float64)
        row[0, chosen] = 1.0
        self.register_buffer("row", row)

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        return self.get_buffer("row").expand(x.shape[0], -1)


class Presences(nn.Module):
    """The probability of the second of two classes, for each label."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        return torch.cat([head(x)[:, 1:2] for head in self.heads], 1)
