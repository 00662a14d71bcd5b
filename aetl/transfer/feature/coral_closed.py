"""The source's features take on the target's covariance, then a head is fitted on them.

Sun, Feng and Saenko (2016), Return of frustratingly easy domain adaptation, arXiv:1511.05547.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Positive
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, TransferStrategy, View


class CoralClosed(TransferStrategy):
    """Algorithm 1: whiten with ``C_S + ridge I``, colour with ``C_T + ridge I``.

    ``ridge`` is a multiple of the mean variance of the domain's features: 1 is the paper's, whose
    features are standardised. Departs from it in that the mean is moved too.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, head: Head, ridge: Positive) -> None:
        self.choice, self.ridge = head, ridge

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        matrix = recolouring(source, target, self.ridge)
        here, there = source.mean(0), target.mean(0)
        return Alignment(lambda z: (z - here) @ matrix + there, lambda z: z)


def recolouring(
    source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], ridge: float
) -> Float[np.ndarray, "F F"]:
    """``A`` with ``A' C_S A = C_T`` (with ridges): ``C_S^(-1/2) C_T^(1/2)``."""
    return np.asarray(_power(source, ridge, -0.5) @ _power(target, ridge, 0.5))


def _power(x: np.ndarray, ridge: float, exponent: float) -> np.ndarray:
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    covariance = covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(covariance)
    powers = np.maximum(values, np.finfo(np.float64).tiny) ** exponent
    return np.asarray((vectors * powers) @ vectors.T)
