"""How likely an example is, in nats, so that published tables compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, prod
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples, identity_of
from aetl.loss.bound import LEVELS
from aetl.loss.marginal import likelihood_of, negative_log_likelihood
from aetl.loss.objective import Objective
from aetl.ranges import Draws, Text
from aetl.rng import uniform_by_key
from aetl.task.base import Kind, numpy
from aetl.task.unlabelled import Unlabelled, unknown
from aetl.types import NUMBERS, DoesNotFit, ExampleKind, Prediction

FEATURES, DRAWN = "features", "drawn"
"""Parts of a prediction that a trained network gives and no candidate: what the encoder makes of a
test example, and of a draw of the prior."""
RAW, OWN = "raw", "own"
"""The values themselves, and the autoencoder that the run has pretrained."""


class Density(Unlabelled):
    """``-log p(x)`` by ``samples`` importance samples: an upper bound that falls with their number.

    Over what the probabilities are says the likelihood of the loss. A Bernoulli likelihood asks for
    black and white (``binarise=fixed`` or ``epoch`` of the data sets). A density of images is one
    of ``(k + u) / 256`` with the grey value k and uniform noise u, and 8 bits for each value are
    added: a bound on the code length of the grey values (Theis et al., 2016, arXiv:1511.01844).

    ``encoder`` says by whose features samples are judged (metrics ``fid``, ``kid``).
    """

    kind: ClassVar[Kind] = "density"
    decodes: ClassVar[bool] = True
    takes: ClassVar[frozenset[ExampleKind]] = NUMBERS
    judged_by: ClassVar[frozenset[str]] = frozenset({"encoder"})
    generates: ClassVar[bool] = True
    candidates_on: ClassVar[int] = 100

    def __init__(self, *, samples: Draws, encoder: Text) -> None:
        self.samples, self.encoder = samples, encoder

    @classmethod
    def asks(cls, node: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"mean", "logvar"})

    def targets(self, examples: Examples) -> Tensor:
        return unknown(examples)

    def fits_loss(self, objective: Objective, examples: Examples) -> None:
        likelihood = likelihood_of(dict(objective.terms.items()))
        x = examples.x[:1000]
        white = 255 if examples.is_image else 1
        if likelihood.measure == "binary" and not bool(((x == 0) | (x == white)).all()):
            raise DoesNotFit(
                "task=density: the Bernoulli cross-entropy of grey values is no likelihood; set "
                "source.binarise=fixed target.binarise=fixed (or epoch), or take loss=gaussian"
            )

    def gives(self, examples: Examples) -> frozenset[str]:
        return frozenset({"bits_per_dim", DRAWN})

    def judge(
        self, autoencoder: Autoencoder, objective: Objective, examples: Examples, like: Tensor
    ) -> Prediction:
        x = examples.inputs().to(like)
        offset, dim = 0.0, prod(examples.shape)
        likelihood = likelihood_of(dict(objective.terms.items()))
        if examples.is_image and likelihood.measure == "density":
            x, offset = dequantised(examples.x).to(like), dim * log(LEVELS)
        nats = numpy(negative_log_likelihood(autoencoder, objective, x, self.samples)) + offset
        return Prediction(nats, None, {"bits_per_dim": nats / (dim * log(2))})

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        return {"nats": prediction.value, "bits_per_dim": prediction.parts["bits_per_dim"]}


def dequantised(x: Tensor) -> Float[Tensor, "N ..."]:
    """Grey values with noise that follows from the image, in [0, 1)."""
    noise = uniform_by_key(identity_of(x), x[0].numel()) if len(x) else np.zeros((0, 1))
    noise = np.minimum(noise, 1 - 2.0**-15)  # as float32 it stays within the bin
    return ((x.double() + torch.from_numpy(noise).view(x.shape)) / LEVELS).float()
