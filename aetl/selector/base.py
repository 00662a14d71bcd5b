"""What a selector is: the rule that chooses the state of training that is evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.metric.base import Metric
from aetl.task.base import Kind, Task, numpy
from aetl.transfer.base import Part, Undeclared
from aetl.types import SUPERVISED, Prediction


class Candidate:
    """A state of the network as a selector may see it: on the parts that it declares, no others.

    ``target_labels`` are those that the selector holds out of the budget, ``source_labels`` are of
    the source's validation part; ``source_inputs`` and ``target_inputs`` are unlabelled training
    examples. Of large parts some rows, evenly spaced, are taken.
    """

    def __init__(
        self,
        uses: frozenset[Part],
        parts: Mapping[Part, Examples],
        task: Task,
        metric: Metric,
        output_dim: int,
        features: Callable[[Examples], Tensor],
        output: Callable[[Tensor], Tensor],
        scale: float,
        fixed: dict[str, Any],
    ) -> None:
        self._uses, self._parts, self._features, self._output = uses, parts, features, output
        self.task, self.metric, self.output_dim, self.scale = task, metric, output_dim, scale
        self._fixed, self._own = fixed, dict[Part, Tensor]()

    def examples(self, part: Part) -> Examples:
        if part not in self._uses:
            raise Undeclared(f"a selector uses {part} without declaring it in `uses`")
        return self._parts[part]

    def _features_of(self, part: Part) -> Tensor:
        examples = self.examples(part)
        if part not in self._own:
            self._own[part] = self._features(examples)
        return self._own[part]

    def features(self, part: Part) -> Float[np.ndarray, "N F"]:
        return numpy(self._features_of(part))

    def prediction(self, part: Part) -> Prediction:
        return self.task.predict(self._output(self._features_of(part)))

    def losses(self, part: Part) -> Float[np.ndarray, " N"]:
        """The task's loss of each labelled example."""
        y = self.examples(part).y
        return numpy(self.task.loss(self._output(self._features_of(part)), y, self.scale))

    def oriented(self, prediction: Prediction, part: Part) -> float:
        """The config's first metric against the labels of a part, turned so that more is better."""
        score = self.metric(prediction, numpy(self.examples(part).y))
        return score if self.metric.higher_is_better else -score

    def fixed(self, name: str, compute: Callable[[], Any]) -> Any:
        """What is the same for every state, computed once."""
        if name not in self._fixed:
            self._fixed[name] = compute()
        return self._fixed[name]


class Selector(ABC):
    """Chooses among the states along the training the one with the highest score."""

    uses: ClassVar[frozenset[Part]] = frozenset()
    uses_metric: ClassVar[bool] = False
    """Whether the config's first metric is what it judges by."""
    kinds: ClassVar[frozenset[Kind]] = SUPERVISED

    def held_out(self, labels: int) -> int:
        """How many of the budget's labels are kept from training, to select by."""
        return 0

    @abstractmethod
    def score(self, candidate: Candidate) -> float | None:
        """Higher is better; None for every state takes the last one."""
