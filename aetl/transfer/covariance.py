"""What alignments by mean and covariance share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Positive
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, TransferStrategy, View


class CovarianceAlignment(TransferStrategy):
    """``z -> (z - m_S) A + m_T`` on the source's features, then the head.

    ``ridge`` times the mean variance of a domain's features is added to its covariance.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, head: Head, ridge: Positive) -> None:
        self.choice, self.ridge = head, ridge

    @abstractmethod
    def matrix(
        self, source: Float[np.ndarray, "F F"], target: Float[np.ndarray, "F F"]
    ) -> Float[np.ndarray, "F F"]:
        """``A``, of the covariances of both domains."""

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        matrix = self.matrix(covariance(source, self.ridge), covariance(target, self.ridge))
        here, there = source.mean(0), target.mean(0)
        return Alignment(lambda z: (z - here) @ matrix + there, lambda z: z)


def covariance(x: Float[np.ndarray, "N F"], ridge: float) -> Float[np.ndarray, "F F"]:
    """That of the examples, with ``ridge`` mean variances on the diagonal."""
    found = np.atleast_2d(np.cov(x, rowvar=False))
    level = np.trace(found) / len(found) or 1.0
    return np.asarray(found + ridge * level * np.eye(len(found)))


def power(matrix: Float[np.ndarray, "F F"], exponent: float) -> Float[np.ndarray, "F F"]:
    """Of a symmetric positive matrix; what is not positive but for rounding counts as tiny."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    powers = np.maximum(values, np.finfo(np.float64).tiny) ** exponent
    return np.asarray((vectors * powers) @ vectors.T)
