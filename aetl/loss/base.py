"""What a loss term is, and how its weight may change while training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.types import NUMBERS, ExampleKind

Role = Literal["likelihood", "rate", "bound"]
Prior = Literal["normal", "sphere", "categorical"]
Support = Literal["real", "unit", "counts"]
Measure = Literal["density", "levels", "binary", "counts"]


class Weight(ABC):
    """A weight that follows the progress of training."""

    @abstractmethod
    def at(self, progress: float) -> float:
        """The weight after the fraction ``progress`` in [0, 1] of the training steps."""


class LossTerm(nn.Module, ABC):
    """One term of an objective.

    The parameters of ``forward`` are its contract: each names a field of the ``Output``, of its
    ``Code`` or of the ``Batch`` (``x``, ``y``), or ``autoencoder`` for the model itself. The
    result is one number for each example, in ``unit``, summed over pixels and latents, never over
    the batch. ``outputs`` is how many numbers the decoder has to give for each value of the input.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    """What examples it takes; others are refused before any work."""
    support: ClassVar[Support] = "real"
    """What values of the data it has a meaning for: any, those in [0, 1], or from 0 on."""
    unit: ClassVar[str]
    discrete: ClassVar[bool] = False
    """Whether ``mean`` gives tokens, which are right or wrong."""
    outputs: int = 1
    role: ClassVar[Role | None] = None
    """Its part in a bound on ``log p(x)``, which is reported in bits: the input's negative
    log-likelihood, the divergence of the posterior from the prior, or the whole negative bound."""
    measure: ClassVar[Measure] = "density"
    """Of a likelihood: over what its probabilities sum to one."""
    prior: ClassVar[Prior | None] = None
    """The distribution that the term draws the codes to: standard normal, or uniform on the unit
    sphere or over one-hot variables."""

    def __init__(self, *, weight: NonNegative | Weight) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Float[Tensor, " B"]:
        """The term for each example."""

    def plain(self) -> LossTerm:
        """The term of the bound that this one stands for, without what only training needs."""
        return self

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The decoder's raw output on the data's scale; a likelihood with a link overrides it."""
        return reconstruction
