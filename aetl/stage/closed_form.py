"""Pretraining without steps: an autoencoder that is computed from all inputs at once."""

from __future__ import annotations

import torch
from torch import Tensor

from aetl.autoencoder.closed_form import ClosedForm
from aetl.data.loader import Loader
from aetl.rng import Rng
from aetl.stage.domains import Domain
from aetl.stage.fit import Training
from aetl.tracking.history import Listener, Row, over_ranks


def fit_closed_form(
    autoencoder: ClosedForm,
    module: Training,
    source: Domain,
    loaders: tuple[Loader, Loader],
    listener: Listener,
) -> list[Row]:
    """Fit to the source's training inputs; the loss on both parts, as after a last step."""
    autoencoder.fit(source.pool.inputs(torch.as_tensor(source.split.train)))
    rows: list[Row] = []
    for split, loader in zip(("train", "validation"), loaders, strict=True):
        module.train(split == "train")
        rows += [Row(module.stage, split, 0, 0, k, v) for k, v in _means(module, loader).items()]
    rows += [Row(module.stage, "validation", 0, 0, k, v) for k, v in module.observed().items()]
    listener(rows)
    return rows


@torch.no_grad()
def _means(module: Training, loader: Loader) -> dict[str, float]:
    """The means over all examples, of all ranks."""
    sums: dict[str, Tensor] = {}
    for i, batch in enumerate(loader):
        rng = Rng.of(module.seed, module.stage, "closed_form", i)
        for name, value in module.losses(batch, rng, i, 1.0).items():
            share = loader.joint_size(i) / max(1, len(loader.rows))
            sums[name] = sums.get(name, torch.zeros_like(value)) + share * value
    return {name: over_ranks(total) for name, total in sums.items()}
