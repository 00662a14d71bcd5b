"""The first steps of each family of experiments, step by step."""

from __future__ import annotations

from pathlib import Path

from tests.tiny import WATCH, Watch, World

FAMILIES: dict[str, tuple[str, ...]] = {
    "undercomplete": ("autoencoder=undercomplete",),
    "denoising": ("autoencoder=denoising",),
    "sparse": ("autoencoder=sparse",),
    "vae": ("autoencoder=vae",),
    "vae-conv": ("autoencoder=vae", "backbone=conv"),
    "scratch": ("transfer=control/scratch",),
    "finetune": ("transfer=parameter/finetune",),
    "density_ratio": (
        "autoencoder=denoising",
        "transfer=instance/density_ratio",
        "transfer.instance.space=input",
    ),  # codes are kept in float32, and weights multiply their rounding by ten
    "regression": ("task=regression", "transfer=parameter/finetune"),
}
"""By name, what is added to the settings below; those with a transfer are curves of that."""

SETTINGS = (
    # Rounding, and torch's normal numbers in float32, differ between kinds of processors.
    "trainer.precision=64-true",
    "source.size=null",
    "target.size=null",
    "target.budget=100",
    "pretrain.max_steps=20",
    "pretrain.batch_size=128",
    "finetune.max_steps=20",
    "finetune.batch_size=32",
    WATCH,
)

Curves = dict[str, list[float]]


def curves(family: str, folder: Path) -> Curves:
    """Every term of the loss by name, at each of 20 steps on the CPU."""
    overrides = FAMILIES[family]
    world = World(folder, *SETTINGS, *overrides)
    Watch.steps.clear()  # other tests of this process may have left some
    pretrained = None if "transfer=control/scratch" in overrides else world.pretrain()
    if any(text.startswith("transfer=") for text in overrides):
        Watch.steps.clear()
        world.transfer(pretrained=pretrained)
    steps = [step["values"] for step in Watch.steps]
    Watch.steps.clear()
    return {name: [float(f"{step[name]:.9g}") for step in steps] for name in steps[0]}
