"""How far pretraining is from its floor, a loop written by hand over the same tensors."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.config import compose
from aetl.data.base import Examples
from aetl.data.split import Split
from aetl.stage.domains import Domain
from aetl.stage.pretrain import _compute, build_autoencoder

NUMBER, BATCH, EPOCHS = 20_000, 256, 3


def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (NUMBER, 1, 28, 28), generator=generator, dtype=torch.uint8)
    y, identity = torch.zeros(NUMBER, dtype=torch.int64), np.arange(NUMBER, dtype=np.uint64)
    return Examples(x, y, ("0",), identity)


def config() -> object:
    network = ["backbone.hidden=[512,256]", "trainer=cpu", "logger=none"]
    length = [f"pretrain.batch_size={BATCH}", f"pretrain.epochs={EPOCHS}", "pretrain.min_steps=1"]
    return compose([*network, *length])


def by_hand(data: Examples) -> float:
    model = build_autoencoder(config(), data.shape)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = torch.randperm(NUMBER)
        for i in range(0, NUMBER, BATCH):
            x = data.x[order[i : i + BATCH]].float().div_(255)
            loss = (model(x).reconstruction - x).square().flatten(1).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def by_aetl(data: Examples, folder: Path) -> float:
    none = np.zeros(0, np.int64)
    split = Split(np.arange(NUMBER), none, none, none)
    domain = Domain(data, data.subset(np.arange(10)), split, {}, data.shape)
    start = time.perf_counter()
    _compute(config(), domain, folder, lambda rows: None)
    return time.perf_counter() - start


@pytest.mark.bench
def test_pretraining_stays_near_a_hand_written_loop(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = examples()
    pairs = []
    for i in range(5):
        folder = tmp_path / str(i)
        folder.mkdir()
        pairs.append((by_hand(data), by_aetl(data, folder)))
    ratio = statistics.median(ours / floor for floor, ours in pairs)
    rate = NUMBER * EPOCHS / statistics.median(ours for _, ours in pairs)
    print(f"\naetl {rate:,.0f} samples/s; {ratio:.2f} x the time of a hand-written loop")
    assert ratio < 1.5
