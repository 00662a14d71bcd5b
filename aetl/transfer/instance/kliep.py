"""The density ratio of largest likelihood (Sugiyama et al., 2008, KLIEP, AISM 60(4))."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Fraction, Positive, Size
from aetl.rng import Rng
from aetl.transfer.instance.base import (
    ImportanceWeights,
    Space,
    drawn,
    folds,
    gaussian,
    median_distance,
)

WIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Widths to choose from, in median distances."""


class Kliep(ImportanceWeights):
    """A positive sum of Gaussians at ``centres`` target points, whose mean over the source is 1.

    The width is the one of the largest held-out log-ratio over five folds of the target.
    """

    def __init__(self, *, space: Space, clip: Positive, mix: Fraction, centres: Size) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.centres = centres

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        centres = drawn(target, self.centres, rng.fork("centres"))
        unit = median_distance(source, target)
        scores = []
        for factor in WIDTHS:
            of_source = gaussian(source, centres, factor * unit)
            of_target = gaussian(target, centres, factor * unit)
            held_out = [
                np.log(
                    of_target[fold] @ likeliest(of_source, of_target[~fold], 1e-4) + 1e-12
                ).mean()
                for fold in folds(len(target), 5, rng.fork("folds"))
            ]
            scores.append(np.mean(held_out))
        width = WIDTHS[int(np.argmax(scores))] * unit
        of_source = gaussian(source, centres, width)
        return np.asarray(of_source @ likeliest(of_source, gaussian(target, centres, width)))


def likeliest(
    of_source: Float[np.ndarray, "N C"],
    of_target: Float[np.ndarray, "M C"],
    tolerance: float = 1e-7,
) -> Float[np.ndarray, " C"]:
    """``a >= 0`` of the largest mean of ``log(of_target a)`` with the mean of ``of_source a`` 1.

    With ``b_c = a_c mean(of_source_c)`` this is the likelihood of a mixture's proportions, and EM
    climbs it to its maximum (the paper ascends the gradient and projects), until no share moves by
    more than ``tolerance``.
    """
    scale = of_source.mean(0)
    reached = scale > 1e-12  # a centre that no source example is near has no finite coefficient
    if not reached.any():
        return np.zeros(len(scale))  # no overlap at any centre: nothing is known of the ratio
    density = of_target[:, reached] / scale[reached]
    share = np.full(density.shape[1], 1.0 / max(1, density.shape[1]))
    for _ in range(1000):
        new = share * (density / np.maximum(density @ share, 1e-300)[:, None]).mean(0)
        new /= new.sum() or 1.0
        done = np.abs(new - share).max() < tolerance
        share = new
        if done:
            break
    coefficients = np.zeros(len(scale))
    coefficients[reached] = share / scale[reached]
    return coefficients
