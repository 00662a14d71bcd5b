"""Weights of the classes by which the mixture of their means meets the target's.

Zhang, Schölkopf, Muandet and Wang (ICML 2013), Domain adaptation under target and conditional
shift, section 3.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import nnls
from torch import Tensor

from aetl.ranges import Positive, Size
from aetl.task.base import Kind, numpy
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.instance.base import Space, gaussian, median_distance, points


class TargetShift(TransferStrategy):
    """Each source example counts ``p_T(y) / p_S(y)``, its class's, scaled to the mean 1.

    The ratios minimise the distance of the embedded means (MMD), for a Gaussian kernel of ``width``
    median distances between at most ``samples`` examples of each domain. The slot is its own
    (``transfer.label_shift``), as that of ``instance/bbse``, which needs a classifier for it.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(self, *, space: Space, width: Positive, samples: Size, clip: Positive) -> None:
        self.space, self.width, self.samples, self.clip = space, width, samples, clip

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        source = view.examples("source_labels")
        x, y = points(view, "source_labels", self.space), numpy(source.y)
        target = points(view, "target_inputs", self.space)
        rows = view.rng.fork("source").permutation(len(x)).numpy()[: self.samples]
        columns = view.rng.fork("target").permutation(len(target)).numpy()[: self.samples]
        here, there = x[rows], target[columns]
        width = self.width * median_distance(here, there)
        ratio = class_ratio(
            gaussian(here, here, width), gaussian(here, there, width), y[rows], len(source.classes)
        )
        weights = np.minimum(ratio, self.clip)[y]
        return torch.from_numpy(weights / (weights.mean() or 1.0)).float()


def class_ratio(
    within: Float[np.ndarray, "N N"], between: Float[np.ndarray, "N M"],
    y: Int[np.ndarray, " N"], classes: int,
) -> Float[np.ndarray, " K"]:  # fmt: skip
    """``b >= 0`` with ``sum p_S(y) b_y = 1`` that minimises ``|sum_y p_S(y) b_y m_y - m_T|^2``.

    ``m`` are means in the kernel's space. A class without an example counts 1.
    """
    shares = np.bincount(y, minlength=classes) / len(y)
    known = np.flatnonzero(shares > 0)
    member = (y[:, None] == known) / np.bincount(y, minlength=classes)[known]
    gram, mean = member.T @ within @ member, (member.T @ between).mean(1)
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    root = np.sqrt(np.maximum(values, 1e-12 * values[-1]))
    # |R q - r|^2 with R'R the Gram matrix; the last row holds the sum of q at 1.
    firm = 1e3 * root[-1]
    rows = np.concatenate([root[:, None] * vectors.T, np.full((1, len(known)), firm)])
    proportion = nnls(rows, np.append((vectors.T @ mean) / root, firm))[0]
    ratio = np.ones(classes)
    ratio[known] = proportion / (proportion.sum() or 1.0) / shares[known]
    return ratio
