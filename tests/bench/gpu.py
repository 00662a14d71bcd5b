"""What a step costs on a GPU: ours, a loop by hand, and stock Lightning with a DataLoader.

    python -m tests.bench.gpu [--json] [--rounds N] [NAME ...]        (make bench-gpu)

Wall time of a step in milliseconds, from the twentieth step of a training to its last, with the
device waited for at both ends; the median of the rounds, in which all take turns. The loop by hand
has its images as bytes on the device, gathers there, steps a fused Adam, and never waits.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from aetl.stage.fit import Training as Trained
from aetl.stage.pretrain import _compute, build_autoencoder
from tests.bench.table import TRAININGS, Training, _Stock, as_it_comes
from tests.tiny import ignore

WARM = 20
NAMES = ("tiny MLP", "large MLP", "conv AE")
PRECISIONS = ("32-true", "bf16-mixed")
MODES = {"false": None, "true": "default", "graphs": "reduce-overhead"}
"""What ``engine.compile`` means to torch."""


@dataclass(frozen=True)
class Case:
    name: str
    training: Training
    precision: str
    compile: str
    device: torch.device

    def ours(self) -> float:
        on_gpu = "gpu" if self.device.type == "cuda" else "cpu"
        training = dataclasses.replace(
            self.training,
            overrides=(*self.training.overrides, f"trainer.accelerator={on_gpu}",
                       f"trainer.precision={self.precision}",
                       f"engine.compile={self.compile}"),
        )  # fmt: skip
        clock, step = Clock(self.device), Trained.training_step

        def timed(module: Trained, batch: Any, index: int) -> Any:
            values = step(module, batch, index)
            clock.at(module.global_step)
            return values

        domain, cfg = training.domain(), training.cfg
        with (
            patch.object(Trained, "training_step", timed),
            tempfile.TemporaryDirectory() as folder,
        ):
            _compute(cfg, domain, {}, Path(folder), ignore)
        return clock.per_step()

    def by_hand(self) -> float:
        training, device = self.training, self.device
        x = training.images().to(device)
        model = build_autoencoder(training.cfg, training.shape).to(device)
        mode = MODES[self.compile]
        loss_of = torch.compile(training.loss, mode=mode) if mode else training.loss
        fused = True if device.type == "cuda" else None
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
        order = torch.arange(0, device=device)
        clock = Clock(device)
        for step in range(training.steps):
            if len(order) < training.batch:
                order = torch.randperm(len(x), device=device)
            rows, order = order[: training.batch], order[training.batch :]
            with self.autocast():
                loss = loss_of(model, x[rows].float().div_(255))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step + 1 in (WARM, training.steps):
                clock.at(step + 1)
        return clock.per_step()

    def autocast(self) -> Any:
        if self.precision == "32-true":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def by_lightning(self) -> float:
        training, clock = self.training, Clock(self.device)
        data = DataLoader(TensorDataset(training.images()), training.batch, shuffle=True)
        module = _Stock(training, build_autoencoder(training.cfg, training.shape))

        class Timed(pl.Callback):
            def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
                if trainer.global_step in (WARM, training.steps):
                    clock.at(trainer.global_step)

        with tempfile.TemporaryDirectory() as folder:
            pl.Trainer(
                accelerator="gpu" if self.device.type == "cuda" else "cpu", devices=1,
                precision=self.precision, max_steps=training.steps, logger=False,
                enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, default_root_dir=folder, callbacks=[Timed()],
            ).fit(module, data)  # fmt: skip
        return clock.per_step()


class Clock:
    """When a training had done which step, the device waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[int, float]] = []

    def at(self, step: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.marks.append((step, time.perf_counter()))

    def per_step(self) -> float:
        """Milliseconds, from the first mark after the warm steps (or the first) to the last."""
        warm = [mark for mark in self.marks if mark[0] >= WARM] or self.marks
        (first, start), (last, end) = warm[0], warm[-1]
        return 1e3 * (end - start) / max(1, last - first)


@dataclass(frozen=True)
class Row:
    """Milliseconds a step; stock Lightning is timed without compiling alone."""

    name: str
    precision: str
    compile: str
    ours: float
    by_hand: float
    lightning: float | None

    @property
    def ratio(self) -> float:
        return self.ours / self.by_hand


def table(cases: list[Case], rounds: int) -> Iterator[Row]:
    for case in cases:
        # A training compiles for half a minute: once.
        times = 1 if MODES[case.compile] else rounds
        first, references = case.ours, [case.by_hand]
        references += [] if MODES[case.compile] else [case.by_lightning]
        found = [[first(), *map(as_it_comes, references)] for _ in range(times)]
        ours, by_hand, *rest = (statistics.median(column) for column in zip(*found, strict=True))
        lightning = rest[0] if rest else None
        yield Row(case.name, case.precision, case.compile, ours, by_hand, lightning)


def cases_of(names: list[str], device: torch.device, steps: int | None = None) -> list[Case]:
    chosen = [name for name in NAMES if not names or any(word in name for word in names)]
    found = []
    for compile in MODES:
        for name in chosen:
            if compile == "graphs" and name != "tiny MLP":
                continue  # computing takes longer there than launching
            training = TRAININGS[name][0]
            training = dataclasses.replace(training, steps=steps or max(400, training.steps))
            found += [Case(name, training, p, compile, device) for p in PRECISIONS]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench-gpu: torch finds no GPU here, so nothing was measured", file=sys.stderr)
        return 0
    device = torch.device("cuda", 0)
    named = torch.cuda.get_device_name(device)
    found = []
    if not options.json:
        print(f"{named}, torch {torch.__version__}; milliseconds a step\n")
        print("| what | precision | engine.compile | ours | by hand | ratio | stock Lightning |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in table(cases_of(options.names, device), options.rounds):
        found.append(row)
        if not options.json:
            other = "" if row.lightning is None else f"{row.lightning:.3f}"
            print(
                f"| {row.name} | {row.precision} | {row.compile} | "
                f"{row.ours:.3f} | {row.by_hand:.3f} | {row.ratio:.2f} | {other} |",
                flush=True,
            )
    if options.json:
        rows = [dataclasses.asdict(row) | {"ratio": row.ratio} for row in found]
        print(json.dumps({"device": named, "torch": torch.__version__, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
