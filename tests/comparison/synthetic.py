"""Run folders as a run would leave them, without running anything."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CONFIG: dict[str, Any] = {
    "seed": 0,
    "data_dir": "data",
    "source": {"_target_": "aetl.data.digits.Digits", "shift": None},
    "target": {"_target_": "aetl.data.digits.Digits", "budget": 100, "shift": {"rotation": 45}},
    "finetune": {"lr": 0.001, "epochs": 20},
    "optimizer": {"_target_": "torch.optim.Adam", "betas": [0.9, 0.999]},
}

RECEIPT = {
    "matched": ["encoder.0.weight", "encoder.0.bias"],
    "missing": [],
    "skipped": ["decoder.0.weight"],
    "frozen": [],
    "trainable": ["encoder.0.weight", "encoder.0.bias", "head.weight"],
    "changed": ["encoder.0.weight", "encoder.0.bias", "head.weight"],
}


def record(**changes: Any) -> dict[str, Any]:
    """A finished run's run.json; ``score`` and ``twin_score`` are those of its metric."""
    score, twin = changes.pop("score", 0.81), changes.pop("twin_score", 0.78)
    metric = changes.get("metric", "accuracy")
    return {
        "version": 1,
        "status": "done",
        "command": ["aetl", "autoencoder=vae", "transfer=parameter/finetune"],
        "overrides": ["autoencoder=vae", "transfer=parameter/finetune"],
        "choices": {"dataset@source": "digits", "dataset@target": "digits", "autoencoder": "vae"},
        "started": "2026-11-21T10:00:00",
        "ended": "2026-11-21T10:00:03",
        "seconds": {"pretrain": 1.21, "transfer": 0.52, "twin": 0.43, "evaluate": 0.1},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
        "versions": {"aetl": "0.1.0", "python": "3.11.9", "torch": "2.14.1"},
        "hardware": {"cpu": "x86_64", "cores": 2, "gpu": []},
        "seed": 0,
        "fingerprints": {"source": "a1" * 8, "target": "b2" * 8},
        "parents": {
            "pretrain": "c3" * 8,
            "transfer": "d4" * 8,
            "twin": "e5" * 8,
            "split": "f6" * 8,
        },
        "source": "digits",
        "target": "digits (rotation=45)",
        "autoencoder": "vae",
        "loss": "elbo",
        "transfer": "parameter/finetune",
        "budget": 100,
        "selector": "last",
        "metric": metric,
        "higher_is_better": {metric: metric not in ("mae", "mse")},
        "scores": {metric: score},
        "twin": {metric: twin},
        "gain": {metric: score - twin},
        "reconstruction": {"source": 0.0123, "target": 0.0456},
        "receipt": RECEIPT,
        "settings": "0" * 16,
        "error": None,
        **changes,
    }


def write_run(folder: Path, config: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A run's folder with run.json and config.yaml only."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record(**changes)))
    seeded = {**CONFIG, "seed": changes.get("seed", 0), **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(seeded, sort_keys=False))
    return folder


def write_curves(folder: Path, epochs: int = 15, pretraining: bool = True) -> None:
    """metrics.csv of a pretraining, a transfer and its scratch twin."""
    stages = [("pretrain", ("loss",))] if pretraining else []
    stages += [("transfer", ("loss", "accuracy")), ("twin", ("loss", "accuracy"))]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "split", "step", "epoch", "name", "value"])
        for stage, names in stages:
            scale = 40.0 if stage == "pretrain" else 2.0
            slow = 8.0 if stage == "twin" else 4.0
            for split, lift in (("train", 0.0), ("validation", 0.05)):
                for epoch in range(epochs):
                    fall = float(np.exp(-epoch / slow))
                    noise = 0.01 * np.sin(7.0 * epoch + len(split))
                    value = {"loss": scale * (0.2 + 0.8 * fall + lift + noise)}
                    value["accuracy"] = 0.95 - 0.8 * fall - lift + noise
                    for name in names:
                        writer.writerow([stage, split, 10 * (epoch + 1), epoch, name, value[name]])


def write_arrays(folder: Path, seed: int = 0, classes: int = 10, n: int = 200) -> None:
    """predictions.npz, latents.npz and reconstructions.npz of a classification on images."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    right = random.random(n) < 0.8
    prediction = np.where(right, y, random.integers(0, classes, n))
    twin = np.where(random.random(n) < 0.7, y, random.integers(0, classes, n))
    np.savez(
        folder / "predictions.npz",
        y=y,
        prediction=prediction,
        twin_prediction=twin,
        index=np.arange(n),
    )
    domain = np.repeat([0, 1], n // 2)
    center = random.normal(size=(classes, 6)) * 4
    z = center[y] + random.normal(size=(n, 6)) + 1.5 * domain[:, None]
    np.savez(folder / "latents.npz", z=z.astype(np.float32), y=y, domain=domain)
    x = random.random((16, 1, 8, 8)).astype(np.float32)
    np.savez(
        folder / "reconstructions.npz",
        x=x,
        corrupted=x * (random.random(x.shape) > 0.3),
        reconstruction=0.8 * x,
        domain=np.repeat([0, 1], 8),
    )


def write_full_run(folder: Path, **changes: Any) -> Path:
    """A run's folder with everything that a report can show."""
    write_run(folder, **changes)
    write_curves(folder)
    write_arrays(folder, seed=int(changes.get("seed", 0)))
    return folder
