"""Whole data sets for a model: the run's own test set, or any option of ``dataset``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from hydra.utils import instantiate

from aetl.config import check_target, compose, conf_dir, resolved
from aetl.data.base import Dataset, Examples
from aetl.model.answers import Predictions
from aetl.model.model import Model
from aetl.stage.domains import load_domains
from aetl.store.store import Store
from aetl.types import UserError

Part = Literal["train", "test"]


def own_test(model: Model) -> Examples:
    """The target's test examples of the run, read from its data again."""
    with tempfile.TemporaryDirectory(prefix="aetl-") as temporary:
        store = Store(dir=temporary, reuse=True)
        return load_domains(model.cfg, store, Path(temporary)).target.test


def difference(model: Model, found: Predictions) -> float | None:
    """The largest difference to the predictions that the run saved; None where every bit agrees.

    Of the probabilities, or of the values where there are none.
    """
    with np.load(model.folder / "predictions.npz", allow_pickle=False) as saved:
        arrays = [saved["prediction"], saved.get("probability")]
    pairs = list(zip([found.value, found.probability], arrays, strict=True))
    if all(_equal(one, other) for one, other in pairs):
        return None
    one, other = pairs[0] if found.probability is None else pairs[1]
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other).max())


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))


def options_of(config_dirs: Sequence[str] = ()) -> list[str]:
    """The names that ``dataset=`` takes."""
    folders = [conf_dir(), *(Path(folder) for folder in config_dirs)]
    found = {file.stem for folder in folders for file in (folder / "dataset").glob("*.yaml")}
    return sorted(name for name in found if not name.startswith("_"))


def dataset(
    name: str, overrides: Sequence[str], part: Part, config_dirs: Sequence[str] = ()
) -> Examples:
    """The examples of a data set of the config, e.g. ``usps`` with ``shift.rotation=30``."""
    keys = []
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override}: expected KEY=VALUE, a key of dataset={name}")
        # A data set's own keys, or the run-wide ones that they are made of.
        run_wide = override.partition("=")[0] in ("data_dir", "split_seed")
        keys.append(override if run_wide else f"target.{override}")
    cfg = compose([f"dataset@target={name}", *keys], config_dirs)
    check_target("target", resolved(cfg)["target"])
    found: Dataset = instantiate(cfg.target)
    train, test = found.load()
    return train if part == "train" else test
