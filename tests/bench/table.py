"""What a step, a stage and a job cost beside references.

    python -m tests.bench.table [--json] [--pairs N] [NAME ...]

Ours and the reference take turns in one process, on one thread; processor seconds, the median of
the pairs. References: loops written by hand over the same tensors and modules, stock Lightning with
a DataLoader, pythae where it is installed; of a whole job, its stages.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import aetl.pipeline
from aetl.bottleneck.normal import Normal
from aetl.config import compose, resolved
from aetl.data.base import Examples
from aetl.data.split import Split
from aetl.launch import composed_job
from aetl.stage.arm import build_network
from aetl.stage.domains import Domain, load_domains
from aetl.stage.pretrain import _compute, build_autoencoder
from aetl.stage.transfer import transfer
from aetl.store.store import Store
from aetl.task.classification import Classification
from tests.tiny import ignore

QUIET = ("trainer=cpu", "logger=none", "callback.progress=null", "score=none")
NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
Seconds = Callable[[], float]


@dataclass(frozen=True)
class Row:
    name: str
    ours: float
    reference: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.ours / self.reference


@dataclass(frozen=True)
class Training:
    """A pretraining on random images: as aetl does it, by hand, and by stock Lightning."""

    overrides: tuple[str, ...]
    shape: tuple[int, int, int]
    batch: int
    steps: int

    @property
    def cfg(self) -> Any:
        length = (f"pretrain.batch_size={self.batch}", f"pretrain.min_steps={self.steps}",
                  f"pretrain.max_steps={self.steps}")  # fmt: skip
        return compose([*QUIET, *self.overrides, *length])

    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        size = (20 * self.batch, *self.shape)
        return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)

    def ours(self) -> float:
        domain, cfg = self.domain(), self.cfg
        with tempfile.TemporaryDirectory() as folder:
            return seconds(lambda: _compute(cfg, domain, {}, Path(folder), ignore))

    def domain(self) -> Domain:
        x, none = self.images(), np.zeros(0, np.int64)
        y, identity = torch.zeros(len(x), dtype=torch.int64), np.arange(len(x), dtype=np.uint64)
        data = Examples(x, y, ("0",), identity)
        split = Split(np.arange(len(x)), none, none, none)
        return Domain(data, data.subset(np.arange(10)), split, {}, data.shape)

    def loss(self, model: Any, x: Tensor) -> Tensor:
        if not isinstance(model.bottleneck, Normal):
            return (model(x).reconstruction - x).square().flatten(1).sum(1).mean()
        h = model.encoder(x)
        mean, logvar = model.bottleneck.mean(h), model.bottleneck.logvar(h)
        logits = model.decode(mean + torch.exp(0.5 * logvar) * torch.randn_like(mean))
        error = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (error + 0.5 * (logvar.exp() + mean.square() - 1.0 - logvar).sum()) / len(x)

    def by_hand(self) -> float:
        x = self.images()
        model = build_autoencoder(self.cfg, self.shape)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)

        def loop() -> None:
            order = torch.arange(0)
            for _ in range(self.steps):
                if len(order) < self.batch:
                    order = torch.randperm(len(x))
                rows, order = order[: self.batch], order[self.batch :]
                loss = self.loss(model, x[rows].float().div_(255))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return seconds(loop)

    def by_lightning(self) -> float:
        """Without its bar, its logger and its checkpoints, but with its look for a GPU."""
        data = DataLoader(TensorDataset(self.images()), self.batch, shuffle=True)
        module = _Stock(self, build_autoencoder(self.cfg, self.shape))
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator="cpu", devices=1, max_steps=self.steps, logger=False,
                enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, default_root_dir=folder,
            )  # fmt: skip
            ours = os.environ.get(NVML, "")
            os.environ[NVML] = "1"  # as importing Lightning leaves it
            try:
                return seconds(lambda: trainer.fit(module, data))
            finally:
                os.environ[NVML] = ours

    def by_pythae(self) -> float:
        from pythae.data.datasets import BaseDataset
        from pythae.models import AE, AEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        network = build_autoencoder(self.cfg, self.shape)

        class Encoder(BaseEncoder):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = network

            def forward(self, x: Tensor) -> Any:
                return ModelOutput(embedding=self.inner.features(x, "latent"))

        class Decoder(BaseDecoder):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = network

            def forward(self, z: Tensor) -> Any:
                return ModelOutput(reconstruction=self.inner.decode(z))

        x = self.images().float() / 255
        data = BaseDataset(x, torch.zeros(len(x)))
        epochs = self.steps * self.batch // len(x)
        config = AEConfig(input_dim=self.shape, latent_dim=8)
        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(
                output_dir=folder, num_epochs=epochs, per_device_train_batch_size=self.batch,
                no_cuda=True,
            )  # fmt: skip
            trainer = BaseTrainer(AE(config, Encoder(), Decoder()), data, training_config=settings)
            return seconds(trainer.train)


class _Stock(pl.LightningModule):
    def __init__(self, training: Training, model: nn.Module) -> None:
        super().__init__()
        self.training_of, self.model = training, model

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self.training_of.loss(self.model, batch[0].float().div(255))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


CONV = ("backbone=conv", "backbone.channels=[16,32]")
TRAININGS = {
    "tiny MLP": (
        Training(("backbone.hidden=[32]", "bottleneck.latent_dim=8"), (1, 8, 8), 64, 1000),
        1.35,
    ),
    "large MLP": (Training(("backbone.hidden=[512,256]",), (1, 28, 28), 256, 120), 1.05),
    "conv AE": (Training(CONV, (1, 28, 28), 64, 60), 1.05),
    "conv VAE": (
        Training(("autoencoder=vae", "loss=elbo", *CONV), (1, 28, 28), 64, 60),
        1.05,
    ),
}  # fmt: skip


def fine_tuning(steps: int) -> tuple[Seconds, Seconds]:
    """A stage of so many steps of 32 labelled digits, and the loop by hand."""
    cfg = compose([*QUIET, "target.budget=200", "finetune.batch_size=32",
                   f"finetune.min_steps={steps}", f"finetune.max_steps={steps}"])  # fmt: skip
    folder = Path(tempfile.mkdtemp())
    domains = load_domains(cfg, Store(dir=str(folder / "store"), reuse=True), folder)
    node = {"control": resolved(cfg)["twin"]}

    def ours() -> float:
        with tempfile.TemporaryDirectory() as inner:
            store = Store(dir=str(Path(inner) / "store"), reuse=True)
            do = lambda: transfer(cfg, node, domains, None, store, Path(inner), ignore)  # noqa: E731
            return seconds(do)

    def by_hand() -> float:
        target = domains.target
        labelled = target.pool.subset(target.split.labelled)
        network = build_network(cfg, domains, Classification(), labelled)
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        x, y = labelled.x, labelled.y

        def loop() -> None:
            order = torch.arange(0)
            for _ in range(steps):
                if len(order) < 32:
                    order = torch.randperm(len(x))
                rows, order = order[:32], order[32:]
                batch = x[rows].float().div_(255)
                loss = nn.functional.cross_entropy(network(batch), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return seconds(loop)

    return ours, by_hand


def job() -> tuple[float, float]:
    """A digits job at its defaults, and of that its stages and its evaluation."""
    spent = 0.0

    def timed(do: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal spent
            start = time.process_time()
            try:
                return do(*arguments)
            finally:
                spent += time.process_time() - start

        return call

    parts = {name: getattr(aetl.pipeline, name) for name in ("pretrain", "transfer", "evaluate")}
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose([*QUIET, f"output_dir={folder}"])
        asked = dataclasses.replace(composed_job(cfg, Path(folder) / "run"), page=False)
        try:
            for name, part in parts.items():
                setattr(aetl.pipeline, name, timed(part))
            whole = seconds(lambda: aetl.pipeline.run(asked))
        finally:
            for name, part in parts.items():
                setattr(aetl.pipeline, name, part)
    return whole, spent


def as_it_comes(reference: Callable[[], float]) -> float:
    """What a reference takes without the deterministic algorithms that our trainings ask for, and
    that stay asked for in the process."""
    torch.use_deterministic_algorithms(False)
    return reference()


def seconds(do: Callable[[], object]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start


def paired(ours: Seconds, reference: Seconds, pairs: int) -> tuple[float, float]:
    found = [(ours(), as_it_comes(reference)) for _ in range(pairs)]
    ratio = statistics.median(a / b for a, b in found)
    floor = statistics.median(b for _, b in found)
    return ratio * floor, floor


def table(names: list[str], pairs: int) -> Iterator[Row]:
    """The rows whose names are asked for, or all."""

    def asked(name: str) -> bool:
        return not names or any(word in name for word in names)

    for name, (training, limit) in TRAININGS.items():
        if asked(name):
            yield Row(name, *paired(training.ours, training.by_hand, pairs), limit)
    tiny, large = TRAININGS["tiny MLP"][0], TRAININGS["large MLP"][0]
    if asked("tiny MLP, stock Lightning"):
        found = paired(tiny.ours, tiny.by_lightning, pairs)
        yield Row("tiny MLP, stock Lightning", *found, 1 / 2.2)
    if importlib.util.find_spec("pythae"):
        for name, training, limit in (("tiny", tiny, 1 / 1.5), ("large", large, 1 / 1.1)):
            if asked(f"{name} MLP, pythae"):
                found = paired(training.ours, training.by_pythae, pairs)
                yield Row(f"{name} MLP, pythae", *found, limit)
    if asked("fine-tuning"):
        short, long = fine_tuning(300), fine_tuning(900)
        does = [
            do for ours, by_hand in (short, long) for do in (ours, partial(as_it_comes, by_hand))
        ]
        stage = [[do() for do in does] for _ in range(pairs)]
        a, b = (statistics.median(c) for c in zip(*[(s[2], s[3]) for s in stage], strict=True))
        yield Row("fine-tuning, stage of 900 steps", a, b, 1.6)
        steps = [(s[2] - s[0], s[3] - s[1]) for s in stage]
        a, b = (statistics.median(c) / 600 for c in zip(*steps, strict=True))
        yield Row("fine-tuning, one step", a, b, 1.4)
    if asked("digits job"):
        found = [job() for _ in range(pairs)]
        a, b = (statistics.median(c) for c in zip(*found, strict=True))
        yield Row("digits job, its stages", a, b, 1.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    if not options.json:
        print(
            "| what | ours, s | reference, s | ratio | at most |\n| --- | --- | --- | --- | --- |"
        )
    for row in table(options.names, options.pairs):
        found.append(row)
        if not options.json:
            times = f"{row.ours:.4g} | {row.reference:.4g}"
            print(f"| {row.name} | {times} | {row.ratio:.2f} | {row.limit:.2f} |", flush=True)
    if options.json:
        print(json.dumps([dataclasses.asdict(row) | {"ratio": row.ratio} for row in found]))
    return sum(row.ratio > row.limit for row in found)


if __name__ == "__main__":
    sys.exit(main())
