"""The scale of vectors, fitted on the training rows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Method = Literal["standard", "unit"]


@dataclass(frozen=True, eq=False)
class Scale:
    """``(x - offset) / factor`` for each entry of an example, computed in float64."""

    offset: Float[np.ndarray, "..."]
    factor: Float[np.ndarray, "..."]

    @staticmethod
    def fit(x: Float[Tensor, "N ..."], method: Method) -> "Scale":
        """To zero mean and unit variance, or to [0, 1]; a constant entry becomes 0."""
        rows = x.double()
        if method == "standard":
            offset, factor = rows.mean(0), rows.std(0, correction=0)
        else:
            offset, factor = rows.amin(0), rows.amax(0) - rows.amin(0)
        return Scale(offset.numpy(), torch.where(factor > 0, factor, 1.0).numpy())

    def __call__(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        offset, factor = torch.from_numpy(self.offset), torch.from_numpy(self.factor)
        scaled: Tensor = (x.double() - offset.to(x.device)) / factor.to(x.device)
        return scaled.float()

    def undone(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """What would be scaled to ``x``, rounded to float32."""
        offset, factor = torch.from_numpy(self.offset), torch.from_numpy(self.factor)
        return (x.double() * factor + offset).float()

    def as_dict(self) -> dict[str, Any]:
        """Numbers that read back as the same."""
        return {"offset": self.offset.tolist(), "factor": self.factor.tolist()}

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> "Scale":
        return Scale(*(np.asarray(plain[name], np.float64) for name in ("offset", "factor")))
