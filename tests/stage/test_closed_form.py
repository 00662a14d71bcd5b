"""Pretraining an autoencoder that has a closed form."""

from __future__ import annotations

from pathlib import Path

import torch

from aetl.autoencoder.pca import PCA
from aetl.stage.pretrain import build_autoencoder
from tests.tiny import World, history


def test_pretraining_fits_pca_to_the_sources_training_inputs(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=pca", "autoencoder.latent_dim=5")
    pretrained = world.pretrain()
    assert pretrained.entry is not None
    state = pretrained.state
    source = world.domains.source
    direct = build_autoencoder(world.cfg, source.pool.shape)
    assert isinstance(direct, PCA)
    x = source.pool.inputs(torch.as_tensor(source.split.train))
    direct.fit(x)
    for name, tensor in direct.state_dict().items():
        torch.testing.assert_close(state[name], tensor)
    error = (direct(x).reconstruction - x).square().flatten(1).sum(1).mean()
    rows = {(r.split, r.name): r.value for r in history(pretrained.entry)}
    torch.testing.assert_close(torch.tensor(rows["train", "loss"]), error.detach())
    assert ("validation", "reconstruction") in rows
