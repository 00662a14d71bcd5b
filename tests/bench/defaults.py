"""How good each autoencoder's codes are at its defaults, by the source alone.

    python -m tests.bench.defaults [--only NAME ...] [KEY=VALUE ...] > table.md

prints a table. A third of the source's training pool is held out: there the reconstruction is
compared with principal components of the same size, and a logistic regression on the codes of 100
labels and of all of the rest is scored. No target and no test set is looked at, so that defaults
may be chosen by it. Raw inputs are the autoencoder ``identity``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from aetl.config import compose, conf_dir
from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.head.logistic import Logistic
from aetl.rng import Rng
from aetl.stage.domains import Domain, load_domains
from aetl.stage.floor import floor_of
from aetl.stage.pretrain import (
    pretrain,
    pretrained_autoencoder,
    pretraining_digest,
    trained_objective,
)
from aetl.store.store import Store
from aetl.types import DoesNotFit

QUIET = ("logger=none", "callback.progress=null", "source.validation_fraction=0.333")
LABELS = 100


def head() -> Head:
    return Logistic(scale="auto", balanced=False, folds=5, strength="auto")


def probed(features: np.ndarray, y: np.ndarray, x: np.ndarray, truth: np.ndarray) -> float:
    """The accuracy of a logistic regression on features of ``y``."""
    fitted = Chosen(head(), "classification").fit(features, y, np.ones(len(y)))
    found = fitted.classes_[fitted.predict_proba(x).argmax(1)]
    return float((found == truth).mean())


@torch.no_grad()
def measured(cfg: DictConfig, source: Domain, folder: Path, draws: int = 1) -> dict[str, Any]:
    """Errors, floor, scores and processor seconds of one autoencoder; ``draws`` of few labels."""
    start = time.process_time()
    with torch.enable_grad():
        store = Store(dir=str(folder / "store"), reuse=True)
        digest = pretraining_digest(cfg, source)
        found = pretrain(cfg, source, store, folder, digest, lambda rows: None)
    seconds = time.process_time() - start
    pool, split = source.pool, source.split
    autoencoder = pretrained_autoencoder(cfg, pool.shape, found.state, len(pool.classes))
    objective = trained_objective(cfg, found)
    train, held_out = torch.as_tensor(split.train), torch.as_tensor(split.validation)
    x = pool.inputs(held_out)
    monitor, line = floor_of(source, found, autoencoder, objective, x)
    mean = objective.mean(autoencoder.reconstruct(x))
    codes = [
        autoencoder.features(pool.inputs(index)).flatten(1).double().numpy()
        for index in (train, held_out)
    ]
    y, truth = pool.y[train].numpy(), pool.y[held_out].numpy()
    few = []
    for draw in range(draws):
        some = Rng.of(draw, "few").permutation(len(y))[:LABELS].numpy()
        few.append(probed(codes[0][some], y[some], codes[1], truth))
    return {
        "error": float((mean - x).square().mean()),
        "floor": monitor.get("principal_error", 0.0),
        "few": float(np.mean(few)),
        "all": probed(codes[0], y, codes[1], truth),
        "seconds": seconds,
        "why": line.rpartition("components: ")[2] if line else "",
    }


def names(only: Sequence[str]) -> list[str]:
    known = sorted(path.stem for path in (conf_dir() / "autoencoder").glob("*.yaml"))
    return [name for name in known if not only or name in only]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    options, settings = parser.parse_known_args(arguments)
    torch.set_num_threads(1)
    print(f"settings: {' '.join(settings) or 'none'}\n")
    print(f"| autoencoder | error | components | {LABELS} labels | all | s | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names(options.only):
        with tempfile.TemporaryDirectory(prefix="aetl-defaults-") as temporary:
            folder = Path(temporary)
            cfg = compose([*QUIET, f"autoencoder={name}", *settings, f"output_dir={temporary}"])
            cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
            OmegaConf.set_readonly(cfg, True)
            domains = load_domains(cfg, Store(dir=f"{temporary}/store", reuse=True), folder)
            try:
                found = measured(cfg, domains.source, folder)
            except DoesNotFit as error:
                print(f"| {name} | | | | | | {error} |", flush=True)
                continue
        print(
            f"| {name} | {found['error']:.5f} | {found['floor']:.5f} | {found['few']:.3f} "
            f"| {found['all']:.3f} | {found['seconds']:.1f} | {found['why']} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
