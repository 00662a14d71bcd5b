"""Anomalies: what is unlike the examples that are known as normal (Ruff et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Int
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples
from aetl.loss.marginal import likelihood_of, negative_log_likelihood
from aetl.loss.objective import Objective
from aetl.ranges import Draws, Probability, Real
from aetl.rng import Rng
from aetl.task.base import Kind, numpy
from aetl.task.unlabelled import Unlabelled
from aetl.types import DoesNotFit, Prediction, UserError

Whole = Annotated[int, Interval(ge=-(10**9), le=10**9)]


class Anomaly(Unlabelled):
    """Examples of the classes ``normal`` are normal, all others of the test set are not.

    Training pools are cut down to what is normal, before they are split: the budget counts those,
    and pretraining sees no others either. ``contamination`` is the share of others that is mixed in
    unseen (``as_is``: as many as there are). A source that lacks one of the classes is used whole.

    A network's score is the ``reconstruction``'s mean squared error per element (of tokens the
    share that is wrong), or the ``bound``,
    minus the importance-weighted bound on the log-likelihood by ``samples`` draws, in nats; a head
    in closed form has its own. Higher is stranger.
    """

    kind: ClassVar[Kind] = "anomaly"
    decodes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        normal: Sequence[str | Whole | Real],
        contamination: Probability | Literal["as_is"],
        score: Literal["reconstruction", "bound"],
        samples: Draws,
    ) -> None:
        if not normal:
            raise UserError("task.normal=[]: name at least one class, e.g. task.normal=[0]")
        self.normal = tuple(map(str, normal))
        self.contamination, self.score = contamination, score
        self.samples = samples

    @classmethod
    def asks(cls, node: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"mean", "logvar"}) if node["score"] == "bound" else frozenset()

    def targets(self, examples: Examples) -> Tensor:
        """1 for an anomaly, 0 for what is normal, -1 where nobody knows."""
        self.fits(examples)
        strange = self._strange(examples)
        return torch.where(examples.y >= 0, torch.from_numpy(strange).long(), -1)

    def fits(self, examples: Examples) -> None:
        if examples.y.dim() == 2 or not examples.classes:
            raise DoesNotFit(
                "task=anomaly: what is normal is said by classes, and this data has none"
            )
        missing = [name for name in self.normal if name not in examples.classes]
        if missing:
            known = ", ".join(examples.classes[:12])
            raise UserError(f"task.normal=[{missing[0]}]: no such class ({known})")
        if set(examples.classes) <= set(self.normal):
            raise UserError("task.normal: every class is normal, so nothing is to be found")

    def admitted(self, examples: Examples, rng: Rng) -> Int[np.ndarray, " n"] | None:
        if not set(self.normal) <= set(examples.classes) or examples.y.dim() == 2:
            return None
        strange = self._strange(examples)
        known = numpy(examples.y) >= 0
        others = np.flatnonzero(strange & known)
        normal = np.flatnonzero(~strange & known)
        if not len(normal):
            raise UserError(f"task.normal={list(self.normal)}: no training example is normal")
        number = len(others)
        if self.contamination != "as_is":
            share = self.contamination / (1 - self.contamination)
            number = min(number, round(share * len(normal)))
        drawn = others[rng.permutation(len(others)).numpy()[:number]]
        return np.sort(np.concatenate([normal, drawn]))

    def fits_loss(self, objective: Objective, examples: Examples) -> None:
        if self.score == "bound":
            likelihood_of(dict(objective.terms.items()))

    def judge(
        self, autoencoder: Autoencoder, objective: Objective, examples: Examples, like: Tensor
    ) -> Prediction:
        x = examples.inputs().to(like)
        if self.score == "bound":
            found = negative_log_likelihood(autoencoder, objective, x, self.samples)
        else:
            found = objective.error(autoencoder.reconstruct(x), x)
        return Prediction(numpy(found), None)

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        return {"score": prediction.value}

    def _strange(self, examples: Examples) -> np.ndarray:
        normal = [i for i, name in enumerate(examples.classes) if name in self.normal]
        return ~np.isin(numpy(examples.y), normal)
