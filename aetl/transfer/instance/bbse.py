"""Weights of the classes where their proportions have shifted.

Lipton, Wang and Smola (2018), Detecting and correcting for label shift with black box predictors,
ICML, arXiv:1802.03916.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.ranges import Inner, Positive
from aetl.task.base import Kind, numpy
from aetl.task.classification import Classification
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.instance.base import Space, points


class Bbse(TransferStrategy):
    """Each source example counts ``p_T(y) / p_S(y)``, its class's, scaled to the mean 1.

    A linear head (penalty ``l2``) learns from the source less a fraction ``held_out``, whose
    confusions then explain the target's predictions. The slot is its own (``transfer.label_shift``)
    so that other instance weights multiply with these.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(self, *, space: Space, held_out: Inner, clip: Positive, l2: Positive) -> None:
        self.space, self.held_out, self.clip, self.l2 = space, held_out, clip, l2

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        source = view.examples("source_labels")
        x, y = points(view, "source_labels", self.space), numpy(source.y)
        order = view.rng.fork("held out").permutation(len(y)).numpy()
        number = min(max(1, round(self.held_out * len(y))), len(y) - 1)
        out, rest = order[:number], order[number:]
        head = Classification().linear_head(self.l2)
        head.fit(x[rest], y[rest], np.ones(len(rest)))

        def predicted(x: Float[np.ndarray, "N F"]) -> Int[np.ndarray, " N"]:
            return np.asarray(head.classes_[head.predict_proba(x).argmax(1)])

        of_target = predicted(points(view, "target_inputs", self.space))
        ratio = label_ratio(predicted(x[out]), y[out], of_target, len(source.classes))
        weights = np.minimum(ratio, self.clip)[y]
        return torch.from_numpy(weights / (weights.mean() or 1.0)).float()


def label_ratio(
    predicted: Int[np.ndarray, " N"],
    true: Int[np.ndarray, " N"],
    of_target: Int[np.ndarray, " M"],
    classes: int,
) -> Float[np.ndarray, " K"]:
    """``w`` with ``C w = mu`` (equation 5): least squares, negative ratios to 0.

    ``C_ij`` is the share of held-out sources of class j that are taken for i, ``mu_i`` the share of
    targets that are. A class of which no source is held out counts 1.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (predicted, true), 1.0 / len(true))
    taken = np.bincount(of_target, minlength=classes) / len(of_target)
    known = confusion.sum(0) > 0
    ratio = np.ones(classes)
    ratio[known] = np.linalg.lstsq(confusion[:, known], taken, rcond=None)[0]
    return np.maximum(ratio, 0.0)
