"""Every strategy on every autoencoder that it fits changes what it says and nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hydra.utils import instantiate

from aetl.config import ConfigError, check, resolved
from aetl.stage.arm import build_network, strategies_of
from aetl.types import UserError
from tests.conformance.test_autoencoders import AUTOENCODERS, NARROW, own_backbone
from tests.conformance.test_transfers import NEEDS, STRATEGIES, start_of
from tests.tiny import World, differing, receipt, weights

SHORT = ("pretrain.max_steps=2", "finetune.max_steps=3", "selector=last")
CORE = {"undercomplete", "vae", "vq", "pca"}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def world(autoencoder: str) -> World:
        backbone = own_backbone(autoencoder)
        chosen = [f"autoencoder={autoencoder}", f"backbone={backbone}"]
        if backbone in ("mlp", "conv"):
            chosen.append("backbone.norm=batch")
        folder = tmp_path_factory.mktemp("autoencoder")
        try:
            return World(folder, *chosen, *NARROW.get(backbone, []), *SHORT)
        except Exception:  # its widths are part of what it is
            return World(folder, *chosen, *SHORT)

    return world


CASES = [
    pytest.param(a, s, marks=() if a in CORE and s == "parameter/finetune" else (pytest.mark.slow,))
    for a in AUTOENCODERS
    for s in STRATEGIES
]


@pytest.mark.parametrize("autoencoder, transfer", CASES)
def test_what_trains_changes_and_nothing_else(worlds: Any, autoencoder: str, transfer: str) -> None:
    needs = [text for text in NEEDS.get(transfer, ()) if not text.startswith("autoencoder=")]
    world = worlds(autoencoder).but(f"transfer={transfer}", *needs)
    try:
        check(resolved(world.cfg), {})
        entry = world.transfer()
    except (ConfigError, UserError) as refusal:
        pytest.skip(str(refusal))
    said, start, end = receipt(entry), start_of(world), weights(entry)
    changed, trainable = set(said["changed"]), set(said["trainable"])
    assert changed == differing(start, end)
    assert not changed & set(said["frozen"])
    blocks = {name.rsplit(".", 1)[0] for name in trainable}
    for buffer in changed - trainable:
        near = {".".join(buffer.split(".")[:depth]) for depth in (3, 4)}
        assert any(block.startswith(tuple(near)) for block in blocks), buffer
    target = world.domains.target
    task = instantiate(world.cfg.task)
    labelled = target.with_targets(task).pool.subset(target.split.labelled)
    network = build_network(world.cfg, world.domains, task, labelled)
    strategies = strategies_of(resolved(world.cfg)["transfer"])
    if not any(strategy.reconstructs for strategy in strategies.values()):
        assert trainable & start.keys() <= network.in_use().keys()
