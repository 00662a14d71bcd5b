"""A fitted model with its preprocessing, read from a run's folder and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from aetl import ranks
from aetl.autoencoder.base import Autoencoder
from aetl.config import ConfigError, locate, resolved
from aetl.data.arrays import Layout
from aetl.data.base import Examples
from aetl.loss.objective import Objective
from aetl.model.answers import (
    Answers,
    Features,
    Predictions,
    features_of,
    predictions_of,
    scores_of,
)
from aetl.model.given import Given, given
from aetl.model.spec import Spec
from aetl.report.notebook import frame_of
from aetl.stage.arm import concatenated, mapped, strategies_of
from aetl.stage.fitted import SIZE, FittedArm
from aetl.stage.pretrain import objective_of
from aetl.task.base import Task
from aetl.terminal import console, watched
from aetl.tracking.record import read_record
from aetl.transfer.network import Network
from aetl.trust import load_config
from aetl.types import Prediction, UserError

WEIGHTS = "checkpoints"
"""The folder of a run that holds the arm's tensors."""


class Model:
    """Raw data in; classes, labels or values, features, reconstructions or scores out.

    Every method takes what ``given`` does: a path of an image, a folder of images or an ``.npz``;
    several paths; an array. Made by ``aetl.load``. Its numbers are those of the run to the bit, as
    long as it stays on the CPU and the libraries are the run's.
    """

    def __init__(
        self, cfg: DictConfig, record: Mapping[str, Any], spec: Spec, arm: FittedArm, folder: Path
    ) -> None:
        self.cfg, self.record, self.spec, self.arm = cfg, record, spec, arm
        self.folder = folder
        self.arm.network.eval().requires_grad_(False)

    @staticmethod
    def load(folder: str | Path, device: str | torch.device = "cpu") -> Model:
        """The model of the run in ``folder``; ``UserError`` where there is none."""
        folder = Path(folder)
        record = read_record(folder)
        if record.get("status") != "done":
            raise UserError(f"{folder}: the run is {record.get('status')}, so it has no model")
        spec = Spec.load(folder)
        cfg = saved_config(folder)
        refuse_unknown_classes(cfg, record)
        strategies = strategies_of(resolved(cfg)["transfer"])
        with torch.random.fork_rng(devices=[]):  # a network is built at random, then overwritten
            arm = FittedArm.load(folder / WEIGHTS, cfg, strategies, spec.form)
        return Model(cfg, record, spec, arm, folder).to(device)

    @property
    def network(self) -> Network:
        return self.arm.network

    @property
    def task(self) -> Task:
        return self.arm.task

    @property
    def autoencoder(self) -> Autoencoder:
        """As it is after the transfer."""
        return self.network.autoencoder

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes or labels; empty for a regression."""
        return self.spec.classes if self.task.kind != "regression" else ()

    @property
    def device(self) -> torch.device:
        return self.network.scale.device

    def to(self, device: str | torch.device) -> Model:
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            line = str(error).splitlines()[0]
            raise UserError(f"device={device}: cannot be used here ({line})") from None
        return self

    def predict(self, data: Any, *, layout: Layout = "auto", progress: bool = True) -> Predictions:
        """What the arm predicts for each example."""
        source = self._given(data, layout)
        found = [self.arm.predict(part) for part in self._parts(source, progress)]
        prediction = _joined(found, self)
        return predictions_of(prediction, self.task, self.classes, source)

    def encode(
        self, data: Any, *, layer: str | None = None, layout: Layout = "auto",
        progress: bool = True,
    ) -> Features:  # fmt: skip
        """The features that the arm's head sees, before any alignment, or those of a layer."""
        head, network = self.arm.closed_form, self.network
        represent = partial(network.features, layer=layer)
        if layer is None and head is not None:
            represent = partial(head.strategy.represent, network)
        source = self._given(data, layout)
        return features_of(self._mapped(source, represent, progress), source)

    def reconstruct(
        self, data: Any, *, layout: Layout = "auto", progress: bool = True
    ) -> np.ndarray:
        """What the autoencoder makes of each example, float32 in the units that it sees."""
        mean = self._objective().mean
        return self._mapped(
            self._given(data, layout), lambda x: mean(self.autoencoder.reconstruct(x)), progress
        )

    def score(self, data: Any, *, layout: Layout = "auto", progress: bool = True) -> Answers:
        """How badly each example is reconstructed: its mean squared error per element."""
        objective = self._objective()

        def error(x: torch.Tensor) -> torch.Tensor:
            return objective.error(self.autoencoder.reconstruct(x), x)

        source = self._given(data, layout)
        return scores_of(self._mapped(source, error, progress), source)

    def _objective(self) -> Objective:
        return objective_of(self.cfg, self.spec.form.entries).to(self.device).eval()

    def layers(self) -> list[str]:
        """The names that ``encode`` takes for a layer."""
        from aetl.stage.transferability import encoder_layers

        return encoder_layers(self.autoencoder)

    def card(self) -> str:
        """What to know before it is used, in Markdown."""
        from aetl.model.card import card

        return card(self.record, self.spec)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._told())

    def _repr_html_(self) -> str:
        rows = [{"model": name, "": value} for name, value in self._told()]
        return frame_of(rows, str(self.folder))

    def _told(self) -> list[tuple[str, str]]:
        record, takes = self.record, self.spec.preprocessing
        metric = record["metric"]
        gain = f"{record['gain'][metric]:+.4f} over {record['baseline']}"
        gives = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        return [
            ("arm", f"{record['autoencoder']}, {record['transfer']}"),
            ("learnt on", f"{record['source']} -> {record['target']}, budget {record['budget']}"),
            ("takes", takes.takes),
            ("gives", f"{self.task.kind}{': ' if gives else ''}{gives}"),
            (metric, f"{record['scores'][metric]:.4f} ({gain}), seed {record['seed']}"),
        ]

    def _given(self, data: Any, layout: Layout) -> Given:
        return given(data, self.spec.preprocessing, layout)

    def _parts(self, source: Given, progress: bool) -> Iterator[Examples]:
        """In the batches that a run predicts its test set in, from the first example on."""
        starts: Sequence[int] = range(0, len(source), SIZE)
        with ranks.threads(self.cfg.threads):
            for start in _shown(starts) if progress and watched() else starts:
                yield source.part(start, min(start + SIZE, len(source)))

    def _mapped(self, source: Given, function: Callable[..., Any], progress: bool) -> np.ndarray:
        parts = [
            mapped(self.network, function, part, SIZE).numpy()
            for part in self._parts(source, progress)
        ]
        if not parts:
            raise UserError("data: there is no example in it")
        return np.concatenate(parts)


def _joined(found: Sequence[Prediction], model: Model) -> Prediction:
    if not found:
        raise UserError("data: there is no example in it")
    return concatenated(found)


def _shown(starts: Sequence[int]) -> Iterator[int]:
    """With a bar on stderr, or in a notebook."""
    from rich.progress import track

    yield from track(starts, "", console=console(stderr=True), transient=True)


def saved_config(folder: Path) -> DictConfig:
    """The config that a run's folder holds, which names no code but ours and what is trusted."""
    return load_config(folder / "config.yaml")


def refuse_unknown_classes(cfg: DictConfig, record: Mapping[str, Any]) -> None:
    """Say in a line which class of the user's cannot be imported here, and where it was."""
    for name in ("autoencoder", "representation", "task", "loss", "transfer"):
        for path, target in _targets(name, OmegaConf.to_container(cfg[name], resolve=True)):
            try:
                locate(path, target)
            except ConfigError as error:
                known = [str(folder) for folder in record.get("paths", [])]
                where = f"; the run found it in {' or '.join(known)}" if known else ""
                raise ConfigError(
                    f"{error}{where}; put its folder on the path (--config-dir, PYTHONPATH)"
                ) from None


def _targets(path: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, str(node["_target_"])
        for key, value in node.items():
            yield from _targets(f"{path}.{key}", value)
