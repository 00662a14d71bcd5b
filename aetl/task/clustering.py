"""Groups of like examples, found without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.task.base import Kind, numpy
from aetl.task.unlabelled import Unlabelled
from aetl.types import DoesNotFit, Prediction


class Clustering(Unlabelled):
    """A cluster for each example, by a head in closed form or by a strategy that brings its own.

    Labels are those of the test set alone, to compare the clusters with. How many clusters there
    are says the head, or the strategy: a number that is known beforehand, as in the papers.
    """

    kind: ClassVar[Kind] = "clustering"

    def targets(self, examples: Examples) -> Tensor:
        if not examples.classes or examples.y.dim() == 2:
            raise DoesNotFit(
                "task=clustering: clusters are compared with classes, and this data has none"
            )
        return examples.y

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        """The likeliest of the clusters that a strategy has made the head's outputs."""
        return Prediction(numpy(output.argmax(1)), None)

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        return {"cluster": prediction.value}
