"""What a task is: what the head gives, how it is trained and what it predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples
from aetl.head.chosen import Chosen
from aetl.head.logistic import Logistic
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.types import EVERY, ExampleKind, Prediction
from aetl.types import Kind as Kind


class Task(ABC):
    """The question that is asked of the target data."""

    kind: ClassVar[Kind]
    takes: ClassVar[frozenset[ExampleKind]] = EVERY
    """What examples it can be asked of; others are refused before any work."""
    supervised: ClassVar[bool] = True
    """Whether an arm learns from labels. Where not, the budget counts examples of any kind, and no
    arm is given a label: the test set alone has them, for the score."""
    judged_by: ClassVar[frozenset[str]] = frozenset()
    """Keys of the config by which a trained arm is judged, and nothing is made."""
    candidates_on: ClassVar[int] = 1000
    """At most so many test inputs are answered at each candidate state of a training."""
    generates: ClassVar[bool] = False
    """Whether the page shows what the arm's network generates."""
    decodes: ClassVar[bool] = False
    """Whether a network answers by its decoder: it then trains on pretraining's objective."""

    @classmethod
    def asks(cls, node: Mapping[str, Any]) -> frozenset[str]:
        """Fields of the autoencoder's output without which the question makes no sense, with these
        keys of the config."""
        return frozenset()

    def admitted(self, examples: Examples, rng: Rng) -> Int[np.ndarray, " n"] | None:
        """Which examples of a training pool the task is learnt from; None where from all."""
        return None

    def fits(self, examples: Examples) -> None:  # noqa: B027  (most can be asked of any)
        """Raise ``UserError`` for data that the question cannot be asked of."""

    def judge(
        self, autoencoder: Autoencoder, objective: Objective, examples: Examples, like: Tensor
    ) -> Prediction:
        """The answer of an autoencoder for some examples, on the device and in the type of
        ``like``: the same for the same examples, whatever is drawn."""
        raise NotImplementedError

    def show(
        self, prediction: Prediction, test: Examples, budget: Examples
    ) -> dict[str, np.ndarray]:
        """A few test examples and what became of them, for the page's figures."""
        return {}

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Predictions as named columns of a table: what, and with which probability."""
        value, probability = prediction.value, prediction.probability
        if probability is None:
            return {"prediction": value} | dict(prediction.parts)
        shown = [(f"p_{name}", probability[:, k]) for k, name in enumerate(classes)]
        return {"prediction": np.array(classes)[value]} | dict(shown)

    def fits_loss(self, objective: Objective, examples: Examples) -> None:  # noqa: B027
        """Raise ``UserError`` for a loss by which a network could not answer."""

    def gives(self, examples: Examples) -> frozenset[str]:
        """The parts of a prediction that metrics may ask for."""
        return frozenset()

    def closed(
        self, estimator: Any, features: np.ndarray, output_dim: int, examples: Examples
    ) -> Prediction:
        """Predictions of a head in closed form for the features of some examples."""
        return self.predict_with(estimator, features, output_dim)

    @abstractmethod
    def targets(self, examples: Examples) -> Tensor:
        """The targets of all examples; ``UserError`` where the data has none of this kind."""

    @abstractmethod
    def output_dim(self, examples: Examples) -> int:
        """How many numbers the head gives for an example."""

    @abstractmethod
    def scale(self, y: Tensor) -> tuple[float, float]:
        """Shift and scale of the head's output, from the training targets."""

    @abstractmethod
    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        """The loss of each example (nats, or squared standardised units)."""

    @abstractmethod
    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """What the head's output says of the targets: probabilities, or the values themselves."""

    @abstractmethod
    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        """Predictions from the head's output."""

    @abstractmethod
    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        """The mean of ``loss`` over predictions that were made by whatever means."""

    def linear_head(self, l2: float) -> Chosen:
        """Logistic regression (of numbers: ridge) of standardised features, the penalty given.

        The probe inside of an algorithm; that of an arm is the config's ``head``.
        """
        return Chosen(Logistic(scale="standard", balanced=False, folds=5, strength=l2), self.kind)

    @abstractmethod
    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        """Predictions of a fitted scikit-learn estimator."""


def numpy(x: Tensor) -> np.ndarray:
    """A tensor as a NumPy array on the CPU, in float64 where it is a float."""
    x = x.detach().cpu()
    return x.double().numpy() if torch.is_floating_point(x) else x.numpy()
