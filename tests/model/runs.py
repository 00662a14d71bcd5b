"""Runs of a second each, done whole, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aetl.config import compose
from aetl.launch import composed_job
from aetl.pipeline import run
from tests.tiny import MLP, small


def done(folder: Path, *overrides: str, name: str = "run") -> Path:
    """The folder of a run that was done with these overrides on top of small ones."""
    backbone = MLP if not any(o.startswith("backbone=") for o in overrides) else MLP[1:]
    cfg = compose([*small(overrides), *backbone, f"output_dir={folder}", *overrides])
    run(composed_job(cfg, folder / name, list(overrides)))
    return folder / name


def images(folder: Path, number: int = 12, *, size: int = 20, split: bool = False) -> Path:
    """Grey images of two classes, dark and bright, as files; of other sizes here and there."""
    rng = np.random.default_rng(0)
    for part in ("train", "test") if split else ("",):
        for label, level in (("dark", 60), ("bright", 190)):
            (folder / part / label).mkdir(parents=True)
            for i in range(number):
                side = size + (i % 3 == 0) * 7
                pixels = rng.normal(level, 30, (side, side)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{i}.png")
    return folder


def vectors(file: Path, **targets: Any) -> Path:
    """An ``.npz`` of 200 vectors of five columns, with ``y`` by their name or as given."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32) * [1, 2, 3, 4, 5]
    np.savez(file, x=x, y=targets["y"](x))
    return file


def saved(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "predictions.npz") as arrays:
        return dict(arrays)
