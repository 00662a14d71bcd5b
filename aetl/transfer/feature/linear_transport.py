"""The source's features are carried onto the target's by the optimal map of normal distributions.

Knott and Smith (1984, J. Optim. Theory Appl. 43); Flamary, Lounici and Ferrari (2019),
Concentration bounds for linear Monge mapping estimation, arXiv:1905.10155.
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


class LinearTransport(TransferStrategy):
    """``z -> (z - m_S) A + m_T`` with
    ``A = C_S^(-1/2) (C_S^(1/2) C_T C_S^(1/2))^(1/2) C_S^(-1/2)``, then the head.

    It gives the target's mean and covariance, as ``feature/coral_closed`` does, by the shortest
    way. ``ridge`` times the mean variance of a domain's features is added to its covariance.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, head: Head, ridge: Positive) -> None:
        self.choice, self.ridge = head, ridge

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        matrix = monge_map(_covariance(source, self.ridge), _covariance(target, self.ridge))
        here, there = source.mean(0), target.mean(0)
        return Alignment(lambda z: (z - here) @ matrix + there, lambda z: z)


def monge_map(
    source: Float[np.ndarray, "F F"], target: Float[np.ndarray, "F F"]
) -> Float[np.ndarray, "F F"]:
    """The symmetric ``A`` with ``A C_S A = C_T``."""
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    return np.asarray(inverse @ _power(root @ target @ root, 0.5) @ inverse)


def _covariance(x: np.ndarray, ridge: float) -> np.ndarray:
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    level = np.trace(covariance) / len(covariance) or 1.0
    return np.asarray(covariance + ridge * level * np.eye(len(covariance)))


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, np.finfo(float).tiny) ** exponent) @ vectors.T)
