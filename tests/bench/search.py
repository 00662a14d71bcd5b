"""A small search of each autoencoder's settings of pretraining, by the source alone.

    python -m tests.bench.search [--only NAME ...] [--settings NAME ...] [KEY=VALUE ...] > table.md

prints a row for each autoencoder and setting, measured as by ``tests.bench.defaults``: the squared
error on held-out source inputs over that of principal components of the same size, and the accuracy
of logistic regressions on codes of 100 labels (mean of ``DRAWS`` draws) and of all of the rest.
``KEY=VALUE`` choose the data. A setting that an autoencoder has no key for is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from aetl.config import compose
from aetl.stage.domains import Domain, load_domains
from aetl.store.store import Store
from aetl.types import DoesNotFit, UserError
from tests.bench.defaults import QUIET, measured, names

DRAWS = 5
FAST = ("optimizer.lr=2e-3", "scheduler=cosine")
SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "2e-3 cosine": FAST,
    "GELU": ("backbone.activation=gelu",),
    "other output": ("loss.reconstruction._target_=OTHER",),
    "half the code": ("SIZE=0.5",),
    "twice the code": ("SIZE=2",),
    "twice, 2e-3 cosine": ("pretrain.min_steps=2000", *FAST),
}
SIZES = (
    "autoencoder.latent_dim",
    "bottleneck.latent_dim",
    "bottleneck.variables",
    "bottleneck.tokens",
)
CLOSED_FORMS = ("identity", "msda", "pca")
"""Which no setting of a training reaches."""
OUTPUTS = ("aetl.loss.mse.SquaredError", "aetl.loss.bernoulli.Bernoulli")


def with_values(asked: tuple[str, ...], cfg: DictConfig) -> list[str] | None:
    """Overrides with what ``OTHER`` and ``SIZE`` mean for this config; None where nothing."""
    found = []
    for override in asked:
        key, _, value = override.partition("=")
        if value == "OTHER":
            now = OmegaConf.select(cfg, key)
            if now not in OUTPUTS:
                return None
            value = next(output for output in OUTPUTS if output != now)
        elif key == "SIZE":
            sizes = [size for size in SIZES if isinstance(OmegaConf.select(cfg, size), int)]
            if not sizes:
                return None
            key = sizes[0]
            value = str(round(float(value) * int(OmegaConf.select(cfg, key))))
        elif key == "backbone.activation" and OmegaConf.select(cfg, key) is None:
            return None
        found.append(f"{key}={value}")
    return found


def composed(overrides: list[str]) -> DictConfig:
    cfg = compose(overrides)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.set_readonly(cfg, True)
    return cfg


def rows(name: str, chosen: list[str], data: list[str], source: Domain) -> Iterator[str]:
    for setting in chosen:
        if name in CLOSED_FORMS and setting not in ("default", "half the code", "twice the code"):
            continue
        with tempfile.TemporaryDirectory(prefix="aetl-search-") as folder:
            base = [*QUIET, f"autoencoder={name}", *data, f"output_dir={folder}"]
            try:
                more = with_values(SETTINGS[setting], composed(base))
                if more is None:
                    continue
                found = measured(composed([*base, *more]), source, Path(folder), DRAWS)
            except (DoesNotFit, UserError, HydraException) as error:
                yield f"| {name} | {setting} | | | | | {str(error).splitlines()[0]} |"
                continue
        ratio = found["error"] / found["floor"] if found["floor"] else float("nan")
        yield (
            f"| {name} | {setting} | {found['error']:.5f} | {ratio:.2f} | {found['few']:.4f} "
            f"| {found['all']:.4f} | {found['seconds']:.1f} |"
        )


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    options, data = parser.parse_known_args(arguments)
    torch.set_num_threads(1)
    print(f"data: {' '.join(data) or 'the default'}\n")
    print("| autoencoder | setting | error | of components | 100 labels | all | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="aetl-search-") as folder:
        cfg = composed([*QUIET, *data, f"output_dir={folder}"])
        domains = load_domains(cfg, Store(dir=f"{folder}/store", reuse=True), Path(folder))
        for name in names(options.only):
            for row in rows(name, options.settings, data, domains.source):
                print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
