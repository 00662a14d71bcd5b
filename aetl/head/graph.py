"""Linear heads as modules, for graphs that leave Python: the same numbers from the same arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


class Standardised(nn.Module):
    """``head((x - center) / spread)``."""

    def __init__(self, center: np.ndarray, spread: np.ndarray, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        for name, array in (("center", center), ("spread", spread)):
            self.register_buffer(name, _tensor(array))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        found: Tensor = self.head((x - self.get_buffer("center")) / self.get_buffer("spread"))
        return found


class Linear(nn.Module):
    """``W x + b``, in float64."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(np.atleast_2d(weight).T))
        self.register_buffer("bias", _tensor(np.atleast_1d(bias)))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        return x @ self.get_buffer("weight") + self.get_buffer("bias")


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64, order="C"))


class Probabilities(nn.Module):
    """Of ``output_dim`` classes, where the linear scores are those of ``classes`` (of two: one)."""

    def __init__(self, linear: Linear, classes: np.ndarray, output_dim: int) -> None:
        super().__init__()
        self.linear = linear
        places = torch.zeros(len(classes), output_dim, dtype=torch.float64)
        places[torch.arange(len(classes)), torch.from_numpy(np.asarray(classes))] = 1.0
        self.register_buffer("places", places)
        self.one_score = linear.get_buffer("bias").numel() == 1

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        score = self.linear(x)
        if self.one_score:
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
