"""What an example looks like, and what was hidden of it (imputation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples, identity_of
from aetl.loss.objective import Objective
from aetl.loss.ssim import similarity
from aetl.ranges import Probability
from aetl.rng import uniform_by_key
from aetl.task.base import Kind, numpy
from aetl.task.unlabelled import Unlabelled, unknown
from aetl.types import NUMBERS, PICTURES, PLAIN, Entries, ExampleKind, Prediction

SHOWN = 8
WINDOW, SIGMA = 11, 1.5
"""Of the structural similarity, as in its paper."""


class Reconstruction(Unlabelled):
    """Each example from itself, the share ``hidden`` of its cells being 0 in what is seen.

    Which cells those are follows from the example alone, so that every arm fills in the same ones.
    A cell that is hidden is seen as 0, as ``corruption=masking`` leaves it: the mean of columns
    that are standardised, black of images. The columns of a category are one cell, and what was
    not there to begin with is neither hidden nor scored. The prediction is the mean squared error
    per cell, over all that were there. Its parts: ``filled`` is the reconstruction, and of images
    ``ssim``; with hidden cells ``mask`` says which, ``hidden`` is the error there alone and
    ``number`` how many there are; ``x`` are the values themselves, of all but pictures.
    """

    kind: ClassVar[Kind] = "reconstruction"
    decodes: ClassVar[bool] = True
    takes: ClassVar[frozenset[ExampleKind]] = NUMBERS

    def __init__(self, *, hidden: Probability) -> None:
        self.hidden = hidden

    def targets(self, examples: Examples) -> Tensor:
        return unknown(examples)

    def gives(self, examples: Examples) -> frozenset[str]:
        hidden = {"hidden", "number"} if self.hidden else set()
        return frozenset(hidden | ({"ssim"} if examples.kind in PICTURES else set()))

    def judge(
        self, autoencoder: Autoencoder, objective: Objective, examples: Examples, like: Tensor
    ) -> Prediction:
        def filled(seen: Tensor) -> Tensor:
            return objective.mean(autoencoder.reconstruct(seen.to(like))).float().cpu()

        return self._judged(examples, filled)

    def closed(
        self, estimator: Any, features: np.ndarray, output_dim: int, examples: Examples
    ) -> Prediction:
        def filled(seen: Tensor) -> Tensor:
            found = estimator.predict(numpy(seen.double().flatten(1)))
            return torch.from_numpy(found).float().view_as(seen)

        return self._judged(examples, filled)

    def _judged(self, examples: Examples, filled: Callable[[Tensor], Tensor]) -> Prediction:
        x, there = examples.inputs().float(), examples.present()
        hidden = hidden_cells(x, self.hidden, examples.entries)
        mask = torch.from_numpy(hidden if there is None else hidden & numpy(there))
        found = filled(x.masked_fill(mask, 0.0))
        error = (found - x).square().double().flatten(1)
        whole = error.mean(1) if there is None else _mean_of(error, there.flatten(1))
        parts = {"filled": numpy(found).astype(np.float32)}
        if self.hidden:
            number = mask.flatten(1).sum(1)
            parts |= {"hidden": numpy(_mean_of(error, mask.flatten(1))), "number": numpy(number)}
            parts["mask"] = numpy(mask).astype(np.uint8)
        if examples.kind in PICTURES:
            luminance, structure = similarity(found, x, WINDOW, SIGMA)
            parts["ssim"] = numpy((luminance * structure).flatten(1).mean(1))
        else:
            parts["x"] = numpy(x).astype(np.float32)
        return Prediction(numpy(whole), None, parts)

    def show(
        self, prediction: Prediction, test: Examples, budget: Examples
    ) -> dict[str, np.ndarray]:
        if test.kind not in PICTURES:
            return {}
        x = numpy(test.inputs(torch.arange(min(SHOWN, len(test)))))
        found = {"x": x, "filled": prediction.parts["filled"][: len(x)]}
        if self.hidden:
            found["seen"] = np.where(prediction.parts["mask"][: len(x)] == 1, 0.0, x)
        return {name: array.astype(np.float32) for name, array in found.items()}

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        parts = prediction.parts
        found = {"error": prediction.value}
        found |= {name: parts[name] for name in ("hidden", "ssim") if name in parts}
        filled = parts["filled"]
        if filled.ndim == 2:
            found |= {f"filled_{k}": filled[:, k] for k in range(filled.shape[1])}
        return found


def _mean_of(error: Float[Tensor, "N D"], which: Bool[Tensor, "N D"]) -> Float[Tensor, " N"]:
    """Of the entries that are marked, of none 0."""
    return (error * which).sum(1) / which.sum(1).clamp_min(1)


def hidden_cells(
    x: Float[Tensor, "N ..."], share: float, entries: Entries = PLAIN
) -> Bool[np.ndarray, "N ..."]:
    """Each cell with this probability; of equal examples the same ones.

    The columns of a category are one cell. The marks of what was absent are seen.
    """
    flat = x.flatten(1).contiguous()
    drawn = uniform_by_key(identity_of(flat), flat.shape[1])
    if entries.categories:
        drawn = drawn[:, entries.first(flat.shape[1])]
        drawn[:, [mark for _, mark in entries.marks]] = 1.0
    return np.asarray((drawn < share).reshape(x.shape))
