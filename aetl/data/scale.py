"""The scale of vectors, series and fields, fitted on the training rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.types import UserError

Method = Literal["standard", "unit", "robust", "sample", "whiten", "log1p"]
FITTED: frozenset[Method] = frozenset({"standard", "unit", "robust"})
"""Those that are an offset and a factor for each column or channel."""

# Eigenvalues below this part of the largest are noise, which whitening would blow up.
FLOOR = 1e-6
# Whitening takes a matrix of columns x columns.
WHITENED = 4096
# Rows that are scaled at a time.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Scale:
    """``(x - offset) / factor`` for each column of vectors, or channel of series and fields.

    - ``standard``: to zero mean and unit variance;
    - ``unit``: the smallest value to 0 and the largest to 1;
    - ``robust``: the median to 0 and the distance between the quartiles to 1;
    - ``sample``: each example by itself to zero mean and unit variance (nothing is fitted);
    - ``whiten``: columns without correlation and of unit variance, by the symmetric square root
      (ZCA: Bell and Sejnowski, 1997); ``factor`` is the matrix;
    - ``log1p``: ``log(1 + x)`` of counts (nothing is fitted).

    Computed in float64. What is constant in the training part becomes 0.
    """

    offset: Float[np.ndarray, "..."]
    factor: Float[np.ndarray, "..."]
    method: Method = "standard"

    @staticmethod
    def fit(x: Float[Tensor, "N ..."], method: Method) -> "Scale":
        if method == "log1p" or (method == "sample" and not x.is_sparse):
            return Scale(np.zeros(0), np.ones(0), method)
        if x.is_sparse:
            raise UserError(
                f"scale={method}: sparse vectors would be dense afterwards; use scale=log1p or none"
            )
        if method == "whiten":
            return _whitening(x)
        # Rows of columns, or of channels: every place of a series or field is a row.
        rows = x.double() if x.dim() == 2 else x.double().transpose(0, 1).flatten(1).T
        if bool(rows.isnan().any()):  # what is absent says nothing of the others
            return _of_present(rows.numpy(), method)
        if method == "robust":
            low, middle, high = np.quantile(rows.numpy(), (0.25, 0.5, 0.75), axis=0)
            return Scale(middle, _nonzero(high - low), method)
        if method == "standard":
            offset, factor = rows.mean(0), rows.std(0, correction=0)
        else:
            offset, factor = rows.amin(0), rows.amax(0) - rows.amin(0)
        return Scale(offset.numpy(), _nonzero(factor.numpy()), method)

    def __call__(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        if self.method == "sample":
            flat = x.double().flatten(1)
            there = (~flat.isnan()).sum(1, keepdim=True)
            mean = flat.nansum(1, keepdim=True) / there
            spread = ((flat - mean).square().nansum(1, keepdim=True) / there).sqrt()
            moved = (flat - mean) / torch.where(spread > 0, spread, 1.0)
            return moved.float().view_as(x)
        if self.method == "log1p":
            values = x.values() if x.is_sparse else x
            values = values.nan_to_num(0)
            if values.numel() and float(values.min()) < 0:
                raise UserError(
                    f"scale=log1p: is for counts, and the data reaches down to {values.min():g}"
                )
            logs: Tensor = x.log1p()
            return logs
        offset, factor = self._tensors(x)
        if self.method == "whiten":
            white: Tensor = ((x.double() - offset) @ factor).float()
            return white
        scaled = torch.empty_like(x, dtype=torch.float32)
        for part, into in zip(torch.split(x, BLOCK), torch.split(scaled, BLOCK), strict=True):
            into.copy_((part.double() - offset) / factor)  # what is at hand is not fetched again
        return scaled

    def undone(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """What would be scaled to ``x``, rounded to float32."""
        if self.method == "log1p":
            counts: Tensor = x.expm1()
            return counts
        if self.method == "sample":  # scaled again, it is what it is
            return x
        offset, factor = self._tensors(x)
        if self.method == "whiten":
            back: Tensor = x.double() @ torch.linalg.pinv(factor) + offset
        else:
            back = x.double() * factor + offset
        return back.float()

    def _tensors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offset and factor in the form of the examples, on their device."""
        if x.shape[1] != len(self.offset):
            raise UserError(
                f"scale={self.method}: was fitted to {len(self.offset)} columns or channels, and "
                f"these data have {x.shape[1]}"
            )
        if self.method == "whiten":
            offset, factor = torch.from_numpy(self.offset), torch.from_numpy(self.factor)
        else:
            offset, factor = self.affine(x.dim() - 1)
        return offset.to(x.device), factor.to(x.device)

    def affine(self, axes: int) -> tuple[Tensor, Tensor]:
        """Offset and factor in the form of examples of so many axes."""
        form = [-1] + [1] * (axes - 1)
        return torch.from_numpy(self.offset).view(form), torch.from_numpy(self.factor).view(form)

    def as_dict(self) -> dict[str, Any]:
        """Numbers that read back as the same."""
        return {
            "method": self.method, "offset": self.offset.tolist(), "factor": self.factor.tolist()
        }  # fmt: skip

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "Scale":
        offset, factor = (np.asarray(plain[name], np.float64) for name in ("offset", "factor"))
        return Scale(offset, factor, plain.get("method", "standard"))


def _of_present(rows: npt.NDArray[np.float64], method: Method) -> Scale:
    """The scale of columns of which some entries are NaN."""
    if method == "standard":
        return Scale(np.nanmean(rows, 0), _nonzero(np.nanstd(rows, 0)), method)
    low, high = np.nanmin(rows, 0), np.nanmax(rows, 0)
    if method == "robust":
        low, middle, high = np.nanquantile(rows, (0.25, 0.5, 0.75), axis=0)
        return Scale(middle, _nonzero(high - low), method)
    return Scale(low, _nonzero(high - low), method)


def _nonzero(factor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(factor > 0, factor, 1.0)


def _whitening(x: Tensor) -> Scale:
    if x.dim() != 2 or x.shape[1] > WHITENED:
        raise UserError(
            f"scale=whiten: is for vectors of at most {WHITENED} columns, and these data are of "
            f"shape {tuple(x.shape[1:])}"
        )
    rows = x.double()
    offset = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - offset).T @ (rows - offset) / len(rows))
    # A direction without variance would be divided by nothing: it is left out.
    kept = values > FLOOR * values.max().clamp_min(torch.finfo(torch.float64).tiny)
    root = torch.where(kept, values.clamp_min(1e-300).rsqrt(), 0.0)
    return Scale(offset.numpy(), ((vectors * root) @ vectors.T).numpy(), "whiten")
