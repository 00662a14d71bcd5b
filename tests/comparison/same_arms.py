"""How often two arms that are the same but for their keys are told apart: on digits, many splits.

    python -m tests.comparison.same_arms [SPLITS]

An arm is a random hidden layer and a logistic head on 100 labels; what it draws (the layer and
which labels) follows from its key and the seed. Each split of the data is a trial of its own.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from hydra.utils import instantiate

from aetl.comparison.crossed import crossed
from aetl.comparison.statistics import ALPHA, paired_p_value
from aetl.config import compose
from aetl.data.base import Examples
from aetl.data.split import make_split
from aetl.head.chosen import Chosen
from aetl.head.logistic import Logistic
from aetl.rng import Rng, key_seed

SEEDS = (3, 5, 10, 20)
LABELS = 100
WIDTH = 64


def answers(key: str, seed: int, pool: Examples, test: Examples) -> np.ndarray:
    """Right or wrong on each test example."""
    rng = Rng.of(seed, key)
    labelled = make_split(
        pool, validation_fraction=0.0, budget=LABELS, per_class=False,
        seed=key_seed(key, seed),
    ).labelled  # fmt: skip
    layer = rng.fork("layer").normal(torch.empty(64, WIDTH)).double().numpy() / 8.0
    hidden = [
        np.maximum(examples.inputs().flatten(1).double().numpy() @ layer, 0.0)
        for examples in (pool.subset(labelled), test)
    ]
    head = Logistic(scale="none", balanced=False, folds=5, strength=1.0)
    fitted = Chosen(head, "classification").fit(
        hidden[0], pool.y.numpy()[labelled], np.ones(LABELS)
    )
    found = fitted.classes_[fitted.predict_proba(hidden[1]).argmax(1)]
    return np.asarray(found == test.y.numpy(), np.float64)


def told_apart(splits: int) -> dict[int, tuple[float, float]]:
    """By number of seeds the share of splits with p < 0.05: over seeds alone, and over both."""
    node = compose(["target.shift.rotation=15", "target.shift.noise=0.2"]).target
    counts = {seeds: np.zeros(2) for seeds in SEEDS}
    for split in range(splits):
        pool, test = instantiate(node, split_seed=split).load()
        gains = np.stack([
            answers("a", seed, pool, test) - answers("b", seed, pool, test)
            for seed in range(1000 * split, 1000 * split + SEEDS[-1])
        ])  # fmt: skip
        for seeds, count in counts.items():
            old = paired_p_value(gains[:seeds].mean(1).tolist())
            assert old is not None
            count += [old < ALPHA, crossed(gains[:seeds]).p_value() < ALPHA]
    return {seeds: (count[0] / splits, count[1] / splits) for seeds, count in counts.items()}


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for seeds, (old, new) in told_apart(number).items():
        print(f"{seeds} seeds, {number} splits: seeds alone {old:.3f}, both {new:.3f}", flush=True)
