"""A pretrained autoencoder beside principal components of the same size."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.closed_form import ClosedForm
from aetl.autoencoder.floor import EXAMPLES, below_floor, causes, principal_error
from aetl.loss.base import LossTerm
from aetl.loss.objective import Objective
from aetl.stage.domains import Domain
from aetl.stage.pretrain import Pretrained
from aetl.tracking.history import read_history


def floor_of(
    source: Domain,
    pretrained: Pretrained,
    autoencoder: Autoencoder,
    objective: Objective,
    x: Float[Tensor, "N ..."],
) -> tuple[dict[str, float], str | None]:
    """``principal_error`` of ``x``, and a line where the autoencoder does worse.

    ``x`` is held out of the source's training examples; the mean squared errors are per element.
    """
    index = torch.as_tensor(source.split.train[:EXAMPLES])
    train, size = source.pool.inputs(index), prod(autoencoder.latent_shape)
    floor = principal_error(train, x, size)
    if floor is None:
        return {}, None

    def error(inputs: Tensor) -> float:
        mean = objective.mean(autoencoder.reconstruct(inputs))
        return float((mean - inputs).square().mean())

    reached = error(x)
    found = causes(
        autoencoder(x).code, _further(objective), (error(train[: len(x)]), reached),
        [] if isinstance(autoencoder, ClosedForm) else _losses(pretrained),
    )  # fmt: skip
    return {"principal_error": floor}, below_floor(reached, floor, size, found)


def _further(objective: Objective) -> list[str]:
    """The terms beside that of the reconstruction, which is the first, or brings the link."""
    names = list(objective.terms)
    linked = [
        name
        for name, term in objective.terms.items()
        if isinstance(term, LossTerm) and type(term).mean is not LossTerm.mean
    ]
    first = linked[0] if linked else "reconstruction" if "reconstruction" in names else names[0]
    return [name for name in names if name != first]


def _losses(pretrained: Pretrained) -> list[float]:
    """Of validation in pretraining, where it was here."""
    if pretrained.entry is None:
        return []
    rows = read_history(pretrained.entry.path / "metrics.csv")
    return [row.value for row in rows if row.split == "validation" and row.name == "loss"]
