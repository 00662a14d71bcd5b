"""Autoencoders that are computed from the data at once instead of trained by gradients."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder


class ClosedForm(Autoencoder):
    """Pretraining calls ``fit`` once with all of the source's inputs; there are no steps.

    The weights are ordinary parameters all the same, so that transfer can fine-tune them and a
    scratch twin has random ones.
    """

    @abstractmethod
    def fit(self, x: Float[Tensor, "N ..."]) -> None:
        """Set the parameters from all inputs."""
