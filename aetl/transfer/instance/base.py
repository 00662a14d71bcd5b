"""What importance weights have in common: the space, the bound, the share beside the target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from aetl.ranges import Fraction, Positive
from aetl.rng import Rng
from aetl.task.base import numpy
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.network import Network
from aetl.types import UserError

Space = str
"""``input``, ``latent`` (what the head sees), or a layer of the autoencoder (``encoder.1``)."""


class ImportanceWeights(TransferStrategy):
    """Weights of the source examples, ``p_target / p_source`` or what stands in for it.

    Estimated on the flattened ``input``, on the ``latent`` of the transferred network or on another
    of its layers, each coordinate standardised over both domains; held below ``clip`` times their
    mean and scaled to the mean ``mix``, which is the source's weight beside the labelled targets.
    """

    uses: ClassVar[frozenset[Part]] = frozenset(
        {"source_inputs", "source_labels", "target_inputs", "target_labels"}
    )

    def __init__(self, *, space: Space, clip: Positive, mix: Fraction) -> None:
        self.space: Space = space
        self.clip, self.mix = clip, mix

    @abstractmethod
    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        """The unnormalised weights at the source points."""

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        source = points(view, "source_inputs", self.space)
        target = points(view, "target_inputs", self.space)
        both = np.concatenate([source, target])
        mean, spread = both.mean(0), both.std(0)
        spread[spread == 0] = 1.0
        found = self.ratio((source - mean) / spread, (target - mean) / spread, view.rng)
        return scaled(found, self.clip, self.mix)


def scaled(ratio: Float[np.ndarray, " N"], clip: float, mix: float) -> Float[Tensor, " N"]:
    """Ratios held between 0 and ``clip`` times their mean, with the mean ``mix``."""
    ratio = np.maximum(ratio, 0.0)
    if not ratio.sum() > 0:  # no source example is like the target: none is better either
        ratio = np.ones(len(ratio))
    ratio = np.minimum(ratio / ratio.mean(), clip)
    return torch.from_numpy(mix * ratio / ratio.mean()).float()


def points(view: View, part: Part, space: Space) -> Float[np.ndarray, "N F"]:
    """A part in the space in which its examples are compared."""
    if space == "input":
        return numpy(view.examples(part).inputs().flatten(1))
    with _spaces(space):
        return numpy(view.features(part, None if space == "latent" else space))


def represented(network: Network, x: Float[Tensor, "B ..."], space: Space) -> Float[Tensor, "B F"]:
    """Inputs in that space, for a head that is fitted there."""
    if space == "input":
        return x.flatten(1)
    with _spaces(space):
        return network.features(x, None if space == "latent" else space)


@contextmanager
def _spaces(space: Space) -> Iterator[None]:
    """An unknown layer is told as the space that it was to be."""
    try:
        yield
    except UserError as error:
        known = str(error).partition("no such layer ")[2].strip("()")
        raise UserError(
            f"transfer.instance.space={space}: no such space (input, {known})"
        ) from None


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
