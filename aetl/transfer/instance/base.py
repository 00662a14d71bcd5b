"""What importance weights have in common: the space, the bound, the share beside the target."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from aetl.rng import Rng
from aetl.task.base import numpy
from aetl.transfer.base import Part, TransferStrategy, View

Space = Literal["input", "latent"]


class ImportanceWeights(TransferStrategy):
    """Weights of the source examples, ``p_target / p_source`` or what stands in for it.

    Estimated on the flattened ``input`` or on the ``latent`` of the transferred network, each
    coordinate standardised over both domains; held below ``clip`` times their mean and scaled to
    the mean ``mix``, which is the source's weight beside the labelled targets.
    """

    uses: ClassVar[frozenset[Part]] = frozenset(
        {"source_inputs", "source_labels", "target_inputs", "target_labels"}
    )

    def __init__(self, *, space: Space, clip: float, mix: float) -> None:
        self.space: Space = space
        self.clip, self.mix = clip, mix

    @abstractmethod
    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        """The unnormalised weights at the source points."""

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        source = _points(view, "source_inputs", self.space)
        target = _points(view, "target_inputs", self.space)
        both = np.concatenate([source, target])
        mean, spread = both.mean(0), both.std(0)
        spread[spread == 0] = 1.0
        found = self.ratio((source - mean) / spread, (target - mean) / spread, view.rng)
        found = np.maximum(found, 0.0)
        if not found.sum() > 0:  # no source example is like the target: none is better either
            found = np.ones(len(source))
        found = np.minimum(found / found.mean(), self.clip)
        return torch.from_numpy(self.mix * found / found.mean()).float()


def _points(view: View, part: Part, space: Space) -> Float[np.ndarray, "N F"]:
    if space == "latent":
        return numpy(view.features(part))
    return numpy(view.examples(part).inputs().flatten(1))


def median_distance(*samples: Float[np.ndarray, "_ F"]) -> float:
    """The median distance of pairs of points, from at most the first 500 of each sample."""
    distances = pdist(np.concatenate([sample[:500] for sample in samples]))
    return float(np.median(distances)) or 1.0


def gaussian(
    x: Float[np.ndarray, "N F"], centres: Float[np.ndarray, "C F"], width: float
) -> Float[np.ndarray, "N C"]:
    """``exp(-|x - c|^2 / (2 width^2))``."""
    return np.asarray(np.exp(-cdist(x, centres, "sqeuclidean") / (2 * width**2)))


def drawn(x: Float[np.ndarray, "N F"], number: int, rng: Rng) -> Float[np.ndarray, "n F"]:
    """At most ``number`` of the rows."""
    return np.asarray(x[rng.permutation(len(x))[:number].numpy()])


def folds(size: int, number: int, rng: Rng) -> list[np.ndarray]:
    """The rows of each fold, as a mask."""
    fold = rng.permutation(size).numpy() % min(number, size)
    return [fold == k for k in range(min(number, size))]
