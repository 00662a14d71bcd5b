"""A job that takes no time and whose result is drawn: how much an arm gains stands in its name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig

from tests.comparison.synthetic import record

TASK = "tests.multirun.race_stub:task"
LIFTS = {
    "control/scratch": None,
    "control/raw_features": -0.8,
    "feature/linear_probe": 1.0,
    "parameter/finetune": 0.015,
}


def task(cfg: Any) -> float:
    node = HydraConfig.get()
    folder, arm = Path(node.runtime.output_dir), str(node.runtime.choices.transfer)
    with open(folder / "ran", "a") as file:
        file.write(f"{os.getpid()}\n")
    stop = os.environ.get("AETL_STUB_STOPS_AT")
    if stop == f"{arm} {cfg.seed}":
        raise KeyboardInterrupt
    fold = int(cfg.target.fold) if cfg.target.folds else None
    return write_result(folder, arm, int(cfg.seed), fold=fold)


def write_result(
    folder: Path, arm: str, seed: int, examples: int = 400, fold: int | None = None
) -> float:
    """What a run would leave: right or wrong on examples of common difficulty; of a fold, half."""
    from aetl.comparison.examples import write_examples

    difficulty = np.random.default_rng(1).normal(0.5, 1.0, examples)
    random, lift = np.random.default_rng([seed, len(arm)]), LIFTS[arm]
    twin = difficulty + np.random.default_rng(seed).normal(0, 0.5, examples) > 0
    right = twin if lift is None else difficulty + lift + random.normal(0, 0.5, examples) > 0
    identity = np.arange(examples, dtype=np.uint64)
    if fold is not None:
        right, twin, identity = (values[fold::2] for values in (right, twin, identity))
    arrays = {"identity": identity, "value.accuracy.arm": right * 1.0,
              "value.accuracy.twin": twin * 1.0}  # fmt: skip
    values = record(
        seed=seed, transfer=arm, score=float(right.mean()), twin_score=float(twin.mean()),
        fold=fold, settings=arm, rope={"accuracy": 0.01}, examples=write_examples(folder, arrays),
    )  # fmt: skip
    (folder / "run.json").write_text(json.dumps(values))
    return float(right.mean())
