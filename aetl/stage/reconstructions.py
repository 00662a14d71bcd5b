"""What an autoencoder makes of the same held-out examples while it is pretrained."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import avg_pool2d

from aetl.data.base import Examples
from aetl.files import atomic
from aetl.ranges import Count
from aetl.stage.domains import Domain
from aetl.stage.fit import epochs_of
from aetl.store.store import Entry
from aetl.task.base import numpy
from aetl.transfer.network import evaluating
from aetl.types import DoesNotFit

log = logging.getLogger(__name__)

FOLDER = "reconstructions"
"""Of a stage, and below ``figures`` of a run."""
FILE = "reconstructions_by_step.npz"
"""Of a run: ``x`` [N, ...], ``made`` [S, N, ...] at each ``step`` [S]."""
LOOKED_AT = 1000
"""Among so many held-out examples those that are shown are chosen."""
_TILE = 128  # pixels: larger images are kept smaller


class Reconstructions(pl.Callback):
    """Every so many epochs of pretraining, and at its end: what the autoencoder makes of
    ``examples`` held-out examples of the source, of as many classes as there are.

    At most ``most`` pictures: where there would be more, every second look, every third, ... is
    taken. They lie in the run's folder (``figures/reconstructions``, and as arrays in
    ``reconstructions_by_step.npz``), on its page, and in W&B and TensorBoard once pretraining is
    done. Nothing is drawn at random and no result changes, so this callback takes no part in a
    digest: a pretraining that comes from the store has the pictures that it was made with.
    """

    def __init__(self, *, every_n_epochs: Count, examples: Count, most: Count) -> None:
        self.every_n_epochs, self.examples, self.most = every_n_epochs, examples, most
        self._shown: Examples | None = None

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        if module.stage == "pretrain":
            self._shown = held_out_examples(module.source, self.examples)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if module.stage != "pretrain" or not trainer.is_global_zero:
            return
        step, epoch = trainer.global_step, trainer.current_epoch
        epochs = epochs_of(module.total_steps, module.batches_per_epoch, module.accumulate)
        if (epoch + 1) % looks(epochs, self.every_n_epochs, self.most) and (
            step < module.total_steps
        ):
            return
        assert self._shown is not None
        arrays = made(module, self._shown)
        # A training that goes on from an earlier step writes the same bits again.
        folder = Path(trainer.default_root_dir) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / f"step-{step:08d}.npz") as temporary:
            np.savez_compressed(temporary, step=np.array(step), **arrays)  # type: ignore[arg-type]
        _draw(folder / f"step-{step:08d}.png", arrays)


def looks(epochs: int, every: int, most: int) -> int:
    """A multiple of ``every`` such that of so many epochs every n-th, and the last, are at most
    ``most``."""
    return every * max(1, math.ceil(math.ceil(epochs / every) / most))


def held_out_examples(source: Domain, number: int) -> Examples:
    """Of the validation part (of the training part where there is none), the first of each class
    before the second of any."""
    if source.pool.kind == "tokens":
        raise DoesNotFit(
            "callback.reconstructions: shows images, fields, series and vectors, and this data is "
            "tokens"
        )
    rows = source.split.validation if len(source.split.validation) else source.split.train
    few = source.pool.subset(rows[:LOOKED_AT])
    return few.subset(of_all_classes(few.y, number))


def of_all_classes(y: Tensor, number: int) -> Tensor:
    """``number`` rows, the first of each class before the second of any."""
    if y.dim() > 1 or y.is_floating_point():
        return torch.arange(min(number, len(y)))
    labels = y.tolist()
    seen: dict[int, int] = {}
    turn = []
    for label in labels:
        turn.append(seen.get(label, 0))
        seen[label] = turn[-1] + 1
    order = sorted(range(len(labels)), key=lambda row: (turn[row], labels[row], row))
    return torch.tensor(order[:number])


@torch.no_grad()
def made(module: Any, examples: Examples) -> dict[str, np.ndarray]:
    """The examples and their reconstructions, images no larger than is worth looking at."""
    autoencoder = module.autoencoder
    x = examples.inputs().to(next(autoencoder.parameters(), torch.zeros(())))
    with evaluating(autoencoder), evaluating(module.objective):
        found = module.objective.mean(autoencoder.reconstruct(x)).view_as(x)
    if examples.kind == "field":  # of any range; images are in [0, 1]
        low, high = x.min(), x.max()
        x, found = ((v - low) / (high - low).clamp_min(1e-12) for v in (x, found))
    arrays = {"x": _small(x), "made": _small(found)}
    return arrays | ({"columns": np.array(examples.columns)} if examples.columns else {})


def _small(x: Tensor) -> np.ndarray:
    if x.dim() == 4:
        factor = math.ceil(max(x.shape[2:]) / _TILE)
        x = avg_pool2d(x.float(), factor) if factor > 1 else x
    return numpy(x).astype(np.float32)


def _draw(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    from aetl.report.canvas import png  # matplotlib is imported when it is needed
    from aetl.report.figures import reconstructions

    x, found = _viewed(arrays["x"]), _viewed(arrays["made"])
    domain = np.zeros(len(x), np.int64)
    figure = reconstructions(x, x, found, domain, columns=arrays.get("columns", ()))
    if figure is not None:
        with atomic(file) as temporary:
            temporary.write_bytes(png(figure))


def _viewed(x: np.ndarray) -> np.ndarray:
    return x.clip(0, 1) if x.ndim == 4 else x


def taken(cfg: DictConfig) -> bool:
    """Whether a config asks for them."""
    kind = f"{__name__}.{Reconstructions.__name__}"
    return any(node and node._target_ == kind for node in cfg.callback.values())


def bring_pictures(entry: Entry | None, folder: Path) -> list[tuple[int, Path]]:
    """Put what a pretraining has taken into the run's folder; its pictures with their steps."""
    files = [] if entry is None else sorted((entry.path / FOLDER).glob("step-*.npz"))
    if not files:
        why = "nothing was trained" if entry is None else (
            "this pretraining is in the store without any; store.reuse=false takes them anew"
            if entry.reused else "nothing was trained step by step"
        )  # fmt: skip
        log.warning("callback.reconstructions: there are no pictures, for %s", why)
        return []
    parts = []
    for file in files:
        with np.load(file, allow_pickle=False) as saved:
            parts.append(dict(saved))
    columns = {"columns": parts[0]["columns"]} if "columns" in parts[0] else {}
    with atomic(folder / FILE) as temporary:
        np.savez_compressed(
            temporary, x=parts[0]["x"], made=np.stack([part["made"] for part in parts]),
            step=np.array([int(part["step"]) for part in parts]), **columns,
        )  # fmt: skip
    target = folder / "figures" / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    pictures = []
    for file, part in zip(files, parts, strict=True):
        drawing = file.with_suffix(".png")
        if drawing.exists():
            shutil.copyfile(drawing, target / drawing.name)
            pictures.append((int(part["step"]), target / drawing.name))
    return pictures
