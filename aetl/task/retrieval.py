"""Which of the examples at hand are most like a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.types import PICTURES, DoesNotFit, Prediction

SHOWN = 8


class Retrieval(Task):
    """The budget's examples by distance to each test example; of one class is what was sought.

    ``head=knn`` is the index. Labels have no part in the ranking: with each query go the average
    precision that it would have were it of each class, and the classes of the first neighbours, so
    that the score can be read off when the query's own class is known.
    """

    kind: ClassVar[Kind] = "retrieval"

    def targets(self, examples: Examples) -> Tensor:
        if not examples.classes or examples.y.dim() == 2:
            raise DoesNotFit(
                "task=retrieval: what was sought is of one class, and this data has none"
            )
        return examples.y

    def output_dim(self, examples: Examples) -> int:
        return len(examples.classes)

    def scale(self, y: Tensor) -> tuple[float, float]:
        return 0.0, 1.0

    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        raise NotImplementedError

    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        raise NotImplementedError

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        raise NotImplementedError

    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        raise NotImplementedError

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        precision = np.zeros((len(features), output_dim))
        precision[:, estimator.classes_] = estimator.predict_proba(features)
        near = estimator.predict(features)
        labels = estimator.model.labels[near]
        return Prediction(labels, precision, {"neighbour": near})

    def show(
        self, prediction: Prediction, test: Examples, budget: Examples
    ) -> dict[str, np.ndarray]:
        if test.kind not in PICTURES:
            return {}
        rows = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).round().astype(int)
        near = prediction.parts["neighbour"][rows]
        x = numpy(budget.inputs(near.ravel())).astype(np.float32)
        return {
            "query": numpy(test.inputs(rows)).astype(np.float32),
            "near": x.reshape(*near.shape, *x.shape[1:]),
            "same": prediction.value[rows] == numpy(test.y)[rows, None],
        }

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """The places in the budget of the neighbours, and their classes."""
        near, names = prediction.parts["neighbour"], np.array(classes)
        found = {f"neighbour_{k + 1}": near[:, k] for k in range(near.shape[1])}
        value = prediction.value
        return found | {f"class_{k + 1}": names[value[:, k]] for k in range(value.shape[1])}
