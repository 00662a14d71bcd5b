"""A tiny world for the tests of the core: few digits, small networks, the real stages."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from aetl.config import compose, resolved
from aetl.files import read_json, read_tensors
from aetl.stage.arm import starts_pretrained, strategies_of
from aetl.stage.domains import Domains, load_domains, pretraining_domain
from aetl.stage.pretrain import Pretrained, pretrain, pretraining_digest
from aetl.stage.transfer import transfer
from aetl.store.store import Entry, Store
from aetl.tracking.history import Row, read_history

SMALL = (
    "logger=none",
    "trainer=cpu",
    "callback.progress=null",
    "source.size=160",
    "target.size=160",
    "target.shift.rotation=20.0",
    "target.budget=40",
    "pretrain.min_steps=0",
    "pretrain.max_steps=6",
    "pretrain.batch_size=32",
    "finetune.min_steps=0",
    "finetune.max_steps=6",
    "finetune.batch_size=16",
)
FOLDS = "head.folds=2"
"""Of the cross-validation that chooses a head of the default kind."""
MLP = ("backbone.hidden=[16]", "bottleneck.latent_dim=4")
CONV = ("backbone=conv", "backbone.channels=[4,6]", "bottleneck.latent_dim=4")


def small(overrides: Iterable[str]) -> tuple[str, ...]:
    """``SMALL``, and few folds where neither head nor task is another one, which has none."""
    others = any(o.startswith(("head=", "task=")) for o in overrides)
    return SMALL if others else (*SMALL, FOLDS)


def tiny_config(folder: Path, *overrides: str) -> DictConfig:
    """The config of a run of a second or less, with its outputs in ``folder``."""
    cfg = compose([*small(overrides), f"output_dir={folder}", *overrides])
    with open_dict(cfg):
        del cfg["hydra"]
    OmegaConf.set_readonly(cfg, True)
    return cfg


def ignore(rows: list[Row]) -> None:
    """A listener that listens to nothing."""


_DIGITS = "aetl.data.digits.Digits"
_known: dict[str, Domains] = {}


def domains_of(cfg: DictConfig, store: Store, folder: Path) -> Domains:
    """Those of a config; the digits, which most worlds are of, are read, shifted and split once in
    a process for each way of doing so."""
    plain = resolved(cfg)
    seen = {key: plain[key] for key in ("source", "target", "task", "seed", "duplicates")}
    if {plain[name]["_target_"] for name in ("source", "target")} != {_DIGITS}:
        return load_domains(cfg, store, folder)
    key = json.dumps(seen, sort_keys=True)
    if key not in _known:
        _known[key] = load_domains(cfg, store, folder)
    return _known[key]


class World:
    """The data and the store of a run, and its stages one by one."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder, self.overrides = folder, overrides
        self.cfg = tiny_config(folder, *overrides)
        self.store = Store(dir=str(folder / "store"), reuse=True)
        self.domains = domains_of(self.cfg, self.store, folder)

    def but(self, *overrides: str) -> World:
        """The same data and store under a config with more overrides."""
        other = copy.copy(self)
        other.overrides = (*self.overrides, *overrides)
        other.cfg = tiny_config(self.folder, *other.overrides)
        return other

    def pretrain(self) -> Pretrained:
        learnt = pretraining_domain(self.domains.in_columns_of_source, self.cfg.pretrain.domains)
        digest = pretraining_digest(self.cfg, learnt)
        return pretrain(self.cfg, learnt, self.store, self.folder, digest, ignore)

    def transfer(
        self,
        node: Mapping[str, Any] | None = None,
        pretrained: Pretrained | None = None,
        domains: Domains | None = None,
    ) -> Entry:
        """The entry of an arm (by default the config's own), pretrained first where it is due."""
        node = resolved(self.cfg)["transfer"] if node is None else node
        if pretrained is None and starts_pretrained(strategies_of(node)):
            pretrained = self.pretrain()
        domains = domains or self.domains
        return transfer(self.cfg, node, domains, pretrained, self.store, self.folder, ignore)


def weights(entry: Entry, name: str = "network.safetensors") -> dict[str, Tensor]:
    if name.endswith(".safetensors"):
        return read_tensors(entry.path / name)
    state: dict[str, Tensor] = torch.load(entry.path / name, weights_only=True)
    return state


def receipt(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = read_json(entry.path / "receipt.json")
    return found


def history(entry: Entry) -> list[Row]:
    return read_history(entry.path / "metrics.csv")


def differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> set[str]:
    """The names whose tensors differ in any bit, or that only one side has."""
    return {
        name
        for name in a.keys() | b.keys()
        if name not in a or name not in b or not same_bits(a[name], b[name])
    }


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal in type, shape and every bit (NaNs and signed zeros too)."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    one, other = (t.detach().cpu().contiguous().flatten().view(torch.uint8) for t in (a, b))
    return torch.equal(one, other)


class Crash(pl.Callback):
    """A power cut at the end of the optimiser step ``at`` (as a callback of the config).

    In other processes the step comes from the environment.
    """

    at: ClassVar[int | None] = None

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        at = os.environ.get("AETL_TEST_CRASH_AT", Crash.at)
        if at is not None and trainer.global_step == int(at):
            raise PowerCut(f"at step {at}")


class PowerCut(RuntimeError):
    """What ``Crash`` raises."""


CRASH = "+callback.crash._target_=tests.tiny.Crash"


class Watch(pl.Callback):
    """Notes what every step trained on, at which rates, and what came out."""

    steps: ClassVar[list[dict[str, Any]]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: Any, batch: Any, index: int
    ) -> None:
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        Watch.steps.append({"rates": rates, "epoch": trainer.current_epoch, "batch": batch})

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        values = {name: float(value) for name, value in outputs.items()}
        Watch.steps[-1] |= {"loss": values["loss"], "values": values}


WATCH = "+callback.watch._target_=tests.tiny.Watch"
