"""Variational autoencoders whose codes are bounded keep something in them with their defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from aetl.stage.pretrain import build_autoencoder
from tests.tiny import World


@pytest.mark.slow
@pytest.mark.parametrize("autoencoder", ["vae", "hyperspherical_vae", "categorical_vae"])
def test_a_linear_probe_on_the_digits_reads_the_code(autoencoder: str, tmp_path: Path) -> None:
    """600 steps: with the KL at its full weight from the start the latter two had 0.42 and 0.45."""
    steps = (
        "pretrain.min_steps=600",
        "pretrain.max_steps=600",
        "pretrain.batch_size=128",
        "source.size=null",
    )
    world = World(tmp_path, f"autoencoder={autoencoder}", *steps)
    model = build_autoencoder(world.cfg, (1, 8, 8))
    model.load_state_dict(world.pretrain().state)
    source = world.domains.source
    features = model.eval().features(source.pool.inputs()).flatten(1).detach().numpy()
    y = source.pool.y.numpy()
    train, test = source.split.train[:100], source.split.validation
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(features[train], y[train])
    assert probe.score(features[test], y[test]) > 0.62
