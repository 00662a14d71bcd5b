"""Each test example's part in a score: its own value, or a pseudo-value of the jackknife.

A pseudo-value is ``U score - (U - 1) score without the unit`` (Tukey 1958; for AUROC: Hanley and
Hajian-Tilaki 1997, Acad. Radiol. 4). Their mean is the score less the jackknife's estimate of its
bias, and their variance over the units is that of the score. A unit is an example; a group of
examples where the data has groups (patients, speakers), or where there are more examples than the
metric has ``most_units``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64

from aetl.metric.base import Metric, mean_without
from aetl.types import Prediction

Units = Int[np.ndarray, " N"]


@dataclass(frozen=True)
class Layout:
    """How the examples of a test set are cut into units; the order of the rows plays no part."""

    identity: UInt64[np.ndarray, " N"]
    group: np.ndarray | None = None
    """Of each example the group that it belongs to, by number or by name."""

    def units(self, most: int) -> tuple[Units, int]:
        """The unit of each example, and how many there are: the groups, dealt out where there are
        more than ``most``."""
        labels = self.identity if self.group is None else self.group
        values, unit = np.unique(labels, return_inverse=True)
        if self.group is None and len(values) < len(labels):  # copies of one example
            unit = np.empty(len(labels), np.int64)
            unit[np.argsort(labels, kind="stable")] = np.arange(len(labels))
            return unit % most, min(most, len(labels))
        return unit % most, min(most, len(values))


def parts(
    metric: Metric, prediction: Prediction, y: np.ndarray, layout: Layout
) -> Float[np.ndarray, " U"]:
    """What each unit contributes: in the order of the rows where every example counts for itself,
    else in the order of the units."""
    each = metric.each(prediction, y)
    if each is not None and layout.group is None:
        return each
    most = 2000 if each is not None else metric.most_units
    unit, units = layout.units(most)
    if each is not None:
        left, whole = mean_without(each, unit, units), float(each.mean())
    else:
        left, whole = metric.without(prediction, y, unit, units), metric(prediction, y)
    return np.asarray(units * whole - (units - 1) * left)
