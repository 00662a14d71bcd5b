"""The relative density ratio of least squared error (Yamada et al., 2011, arXiv:1106.4729)."""

from __future__ import annotations

from collections.abc import Callable

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
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


class Rulsif(ImportanceWeights):
    """``p_T / (alpha p_T + (1 - alpha) p_S)``, which is at most ``1 / alpha``.

    A sum of Gaussians at ``centres`` target points, in closed form; width and ridge are the best
    by the held-out squared error over five folds.
    """

    def __init__(
        self, *, space: Space, clip: Positive, mix: Fraction, alpha: Fraction, centres: Size
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.alpha, self.centres = alpha, centres

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        return least_squares_ratio(source, target, self.alpha, self.centres, rng)


def least_squares_ratio(
    source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"],
    alpha: float,
    centres: int,
    rng: Rng,
    constrained: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> Float[np.ndarray, " N"]:
    """The ratio at the source points, with width and ridge by cross-validation.

    ``constrained`` is what becomes of the coefficients of the closed form.
    """
    points = drawn(target, centres, rng.fork("centres"))
    unit = median_distance(source, target)
    of_source = folds(len(source), 5, rng.fork("source"))
    of_target = folds(len(target), 5, rng.fork("target"))
    best, choice = np.inf, (unit, RIDGES[-1])
    for width in (factor * unit for factor in WIDTHS):
        s, t = gaussian(source, points, width), gaussian(target, points, width)
        for ridge in RIDGES:
            error = 0.0
            for i, j in zip(of_source, of_target, strict=False):
                theta = constrained(coefficients(s[~i], t[~j], alpha, ridge))
                error += squared_error(s[i] @ theta, t[j] @ theta, alpha)
            if error < best:
                best, choice = error, (width, ridge)
    s, t = (gaussian(x, points, choice[0]) for x in (source, target))
    theta = constrained(coefficients(s, t, alpha, choice[1]))
    return np.asarray(np.maximum(s @ theta, 0.0))


def coefficients(
    of_source: Float[np.ndarray, "N C"],
    of_target: Float[np.ndarray, "M C"],
    alpha: float,
    ridge: float,
) -> Float[np.ndarray, " C"]:
    """Equation 8 of the paper: ``(H + ridge I)^-1 h``."""
    second = alpha * of_target.T @ of_target / len(of_target)
    second += (1 - alpha) * of_source.T @ of_source / len(of_source)
    return np.linalg.solve(second + ridge * np.eye(len(second)), of_target.mean(0))


def squared_error(
    at_source: Float[np.ndarray, " n"], at_target: Float[np.ndarray, " m"], alpha: float
) -> float:
    """Half the mean squared error of a ratio under the mixed density, less a constant."""
    mixed = alpha * (at_target**2).mean() + (1 - alpha) * (at_source**2).mean()
    return float(mixed / 2 - at_target.mean())
