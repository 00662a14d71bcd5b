"""Weights under which the source's mean in a kernel's space is the target's.

Huang et al. (2006), Correcting sample selection bias by unlabeled data, NeurIPS 19, equation 5.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Fraction, NonNegative, Positive, Size
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space, drawn, gaussian, median_distance

TARGETS = 2000
"""Target examples that the target's mean is taken from, at most."""


class Kmm(ImportanceWeights):
    """Kernel mean matching with weights in ``[0, bound]`` that sum to ``n (1 +- epsilon)``.

    The kernel is Gaussian, ``width`` times the median distance wide. The paper's epsilon is
    ``(sqrt(n) - 1) / sqrt(n)``. The quadratic programme grows with the square of the source, so it
    is solved for random blocks of ``block`` source examples, each a sample of the source.
    """

    def __init__(
        self,
        *,
        space: Space,
        clip: Positive,
        mix: Fraction,
        width: Positive,
        bound: Positive,
        epsilon: NonNegative,
        block: Size,
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.width, self.bound, self.epsilon, self.block = width, bound, epsilon, block

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        target = drawn(target, TARGETS, rng.fork("targets"))
        width = self.width * median_distance(source, target)
        weights = np.empty(len(source))
        number = max(1, round(len(source) / self.block))
        for rows in np.array_split(rng.fork("blocks").permutation(len(source)).numpy(), number):
            kernel = gaussian(source[rows], source[rows], width)
            mean = gaussian(source[rows], target, width).mean(1) * len(rows)
            weights[rows] = mean_matching(kernel, mean, self.bound, self.epsilon)
        return weights


TOLERANCE = 1e-4


def mean_matching(
    kernel: Float[np.ndarray, "n n"], kappa: Float[np.ndarray, " n"], bound: float, epsilon: float
) -> Float[np.ndarray, " n"]:
    """The minimum of ``1/2 b'Kb - kappa'b`` over ``0 <= b <= bound``, ``|sum b - n| <= n epsilon``.

    By accelerated projected gradient with restarts (Beck and Teboulle, 2009; O'Donoghue and
    Candes, 2015), until a step from where it looks ahead moves no weight by more than 1e-4 of
    their mean; the objective is then within a millionth of its minimum.
    """
    size = len(kernel)
    low, high = size * (1 - epsilon), size * (1 + epsilon)
    rate = 1.0 / float(np.linalg.eigvalsh(kernel)[-1])
    now = ahead = project(np.ones(size), bound, low, high)
    momentum = 1.0
    for _ in range(5000):
        new = project(ahead - rate * (kernel @ ahead - kappa), bound, low, high)
        if np.abs(new - ahead).max() < TOLERANCE:
            return new
        if (ahead - new) @ (new - now) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - now)
        now, momentum = new, following
    return now


def project(
    point: Float[np.ndarray, " n"], bound: float, low: float, high: float
) -> Float[np.ndarray, " n"]:
    """The nearest point in the box whose sum lies in ``[low, high]``."""
    clipped = np.asarray(np.clip(point, 0.0, bound))
    if low <= clipped.sum() <= high:
        return clipped
    wanted = low if clipped.sum() < low else high
    left, right = point.min() - bound, point.max()  # all at the bound, all at zero
    for _ in range(80):
        middle = (left + right) / 2
        if np.clip(point - middle, 0.0, bound).sum() > wanted:
            left = middle
        else:
            right = middle
    return np.asarray(np.clip(point - right, 0.0, bound))
