"""Callbacks of Lightning's and of users: what they hear, that they work, that they are resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from aetl.autoencoder.base import Autoencoder
from aetl.label import takes_part
from aetl.stage.packing import Packs
from aetl.stage.transfer import transfer_key
from aetl.types import UserError
from tests.stage.test_resume import assert_equal, compute, interrupted, result
from tests.tiny import CRASH, MLP, Crash, World, history, weights

LIGHTNING = "pytorch_lightning.callbacks."
# 144 training examples in batches of 32 are 5 steps an epoch of pretraining; 40 labels in batches
# of 16 are 21 of a transfer.
STEPS = ("pretrain.max_steps=40", "finetune.max_steps=84")


def stop(stage: str, value: str, **settings: object) -> str:
    """Early stopping by a value, as an override."""
    node = {"_target_": f"{LIGHTNING}EarlyStopping", "monitor": f"{stage}/{value}"} | settings
    return "+callback.stop={" + ",".join(f"{k}: {v}" for k, v in node.items()) + "}"


class Hears(pl.Callback):
    """Notes what is there at every epoch's end; it looks at no batch."""

    heard: ClassVar[list[dict[str, float]]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert trainer.callback_metrics.keys() <= trainer.logged_metrics.keys()
        Hears.heard.append({k: float(v) for k, v in trainer.callback_metrics.items()})


HEARS = "+callback.hears._target_=tests.stage.test_callbacks.Hears"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    Hears.heard.clear()
    Crash.at = None


def last_step(world: World, stage: str) -> int:
    return max(row.step for row in history(compute(world, stage)) if row.split == "train")


def test_the_history_is_what_callbacks_hear(tmp_path: Path) -> None:
    entry = compute(World(tmp_path, *MLP, "pretrain.max_steps=10", HEARS), "pretrain")
    rows = history(entry)
    assert len(Hears.heard) == 2
    for heard, step in zip(Hears.heard, (5, 10), strict=True):
        kept = {f"{r.stage}/{r.split}/{r.name}": r.value for r in rows if r.step == step}
        validation = {name: value for name, value in kept.items() if "/validation/" in name}
        assert {"pretrain/validation/loss", "pretrain/validation/reconstruction"} <= set(validation)
        assert {name: heard[name] for name in kept} == pytest.approx(kept)


def test_whoever_looks_at_no_batch_leaves_the_steps_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[Any] = []
    begun = Packs.__init__

    def note(self: Packs, *arguments: Any, **named: Any) -> None:
        packed.append(self)
        begun(self, *arguments, **named)

    monkeypatch.setattr(Packs, "__init__", note)
    stopping = stop("pretrain", "validation/loss")
    World(tmp_path, *MLP, *STEPS, HEARS, stopping).pretrain()
    assert packed


@pytest.mark.parametrize(
    "stage, value, steps",
    [
        ("pretrain", "validation/loss", 15),
        pytest.param("pretrain", "validation/reconstruction", 15, marks=pytest.mark.slow),
        pytest.param("pretrain", "train/loss", 15, marks=pytest.mark.slow),
        ("transfer", "train/loss", 63),
    ],
)
def test_early_stopping_stops(stage: str, value: str, steps: int, tmp_path: Path) -> None:
    stopping = stop(stage, value, patience=2, min_delta=100.0)
    world = World(tmp_path, *MLP, *STEPS, stopping)
    assert last_step(world, stage) == steps


def test_early_stopping_counts_the_selectors_looks_and_no_epoch_between(tmp_path: Path) -> None:
    """Of 30 epochs every third is a candidate; the state at the end is one."""
    few = ("finetune.max_steps=150", "finetune.batch_size=2", "target.budget=12")
    stopping = stop("transfer", "validation/accuracy", patience=2, min_delta=100.0, mode="max")
    world = World(tmp_path, *MLP, *few, "selector=target_validation", stopping)
    entry = compute(world, "transfer")
    looks = [row.step for row in history(entry) if row.name == "accuracy"]
    epochs = {row.step: row.epoch for row in history(entry) if row.name == "accuracy"}
    assert len(looks) == 3
    assert last_step(world, "transfer") == looks[-1]
    assert list(epochs.values()) == sorted(epochs.values())


@pytest.mark.parametrize(
    "every, cuts", [(3, [8, 16]), pytest.param(5, [11, 13], marks=pytest.mark.slow)]
)
def test_a_stopped_pretraining_is_resumed_to_the_same_bits(
    every: int, cuts: list[int], tmp_path: Path
) -> None:
    saving = f"callback.resume_point.every_n_steps={every}"
    stopping = stop("pretrain", "validation/loss", patience=4, min_delta=100.0)
    plain = compute(World(tmp_path / "plain", *MLP, *STEPS, CRASH, stopping), "pretrain")
    assert max(row.step for row in history(plain)) == 25
    cut = interrupted(tmp_path / "cut", "pretrain", cuts, *STEPS, stopping, saving)
    assert_equal(result(plain), cut)


@pytest.mark.parametrize(
    "value", [pytest.param("train/loss", marks=pytest.mark.slow), "validation/accuracy"]
)
def test_a_stopped_transfer_is_resumed_to_the_same_bits(value: str, tmp_path: Path) -> None:
    more = ("selector=target_validation", stop("transfer", value, patience=1, min_delta=100.0))
    plain = compute(World(tmp_path / "plain", *MLP, *STEPS, CRASH, *more), "transfer")
    assert max(row.step for row in history(plain)) < 84
    saving = "callback.resume_point.every_n_steps=4"
    cut = interrupted(tmp_path / "cut", "transfer", [9, 26], *STEPS, *more, saving)
    assert_equal(result(plain), cut)


def test_a_checkpoint_of_lightnings_holds_the_best_state(tmp_path: Path) -> None:
    keep = (
        "+callback.keep={_target_: " + LIGHTNING + "ModelCheckpoint, "
        "monitor: pretrain/validation/loss, save_top_k: 1, filename: best}"
    )
    entry = compute(World(tmp_path, *MLP, "pretrain.max_steps=10", keep), "pretrain")
    saved = torch.load(entry.path / "checkpoints/best.ckpt", weights_only=False)
    losses = {
        r.step: r.value for r in history(entry) if (r.split, r.name) == ("validation", "loss")
    }
    assert saved["global_step"] == min(losses, key=lambda step: losses[step]) == 10
    kept = weights(entry, "autoencoder.pt")
    for name, tensor in kept.items():
        torch.testing.assert_close(saved["state_dict"][f"autoencoder.{name}"], tensor)


def test_learning_rates_become_part_of_the_history(tmp_path: Path) -> None:
    rates = "+callback.rates={_target_: " + LIGHTNING + "LearningRateMonitor, "
    overrides = (f"{rates}logging_interval: epoch}}", "scheduler=cosine", "scheduler.warmup=0.0")
    entry = compute(
        World(tmp_path / "plain", *MLP, "pretrain.max_steps=15", *overrides), "pretrain"
    )
    found = {r.step: r.value for r in history(entry) if r.name.startswith("lr-Adam")}
    halves = (1.0, 0.75, 0.25)  # cos^2 of 0, 30 and 60 degrees
    assert found == pytest.approx({5 * i: 1e-3 * half for i, half in enumerate(halves)}, rel=1e-6)
    saving = "callback.resume_point.every_n_steps=1"
    steps = ("pretrain.max_steps=15", *overrides, saving)
    assert_equal(result(entry), interrupted(tmp_path / "cut", "pretrain", [5, 7, 10], *steps))


AVERAGE = "+callback.swa={_target_: " + LIGHTNING + "StochasticWeightAveraging, swa_lrs: 0.01, "


class Ends(pl.Callback):
    """Notes the weights with which each epoch starts."""

    states: ClassVar[list[dict[str, torch.Tensor]]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        network: nn.Module = getattr(module, "autoencoder", None) or module.network  # type: ignore[assignment]
        Ends.states.append({n: p.detach().clone() for n, p in network.named_parameters()})


ENDS = "+callback.ends._target_=tests.stage.test_callbacks.Ends"


@pytest.mark.parametrize(
    "start, stage, file",
    [
        ("0.5", "pretrain", "autoencoder.pt"),
        ("3", "transfer", "network.safetensors"),
        pytest.param("3", "pretrain", "autoencoder.pt", marks=pytest.mark.slow),
        pytest.param("0.5", "transfer", "network.safetensors", marks=pytest.mark.slow),
    ],
)
def test_averaged_weights_are_the_mean_of_the_states_averaged(
    start: str, stage: str, file: str, tmp_path: Path
) -> None:
    """Of four epochs the third and the last one count, by their states at the start."""
    few = ("pretrain.max_steps=20", "finetune.max_steps=84")
    world = World(tmp_path, *MLP, *few, AVERAGE + f"swa_epoch_start: {start}}}", ENDS)
    Ends.states.clear()
    entry = compute(world, stage)
    states = Ends.states[-4:]
    first = 1 if start == "0.5" else 2
    for name, found in weights(entry, file).items():
        if name in states[0]:
            mean = torch.stack([state[name] for state in states[first:]]).mean(0)
            torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-6)


def test_norms_are_those_of_the_averaged_weights(tmp_path: Path) -> None:
    norm = ("backbone.norm=batch", "pretrain.max_steps=20", "pretrain.batch_size=36")
    world = World(tmp_path, *MLP, *norm, AVERAGE + "swa_epoch_start: 2}")
    state = world.pretrain().state
    from aetl.stage.pretrain import pretrained_autoencoder

    source = world.domains.source
    autoencoder: Autoencoder = pretrained_autoencoder(world.cfg, source.pool.shape, state)
    layer = next(m for m in autoencoder.modules() if isinstance(m, nn.BatchNorm1d))
    inputs: list[torch.Tensor] = []
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    autoencoder(source.pool.inputs(torch.as_tensor(source.split.train)))
    # All batches are of one size, so that the mean of their means is the mean of all.
    torch.testing.assert_close(layer.running_mean, inputs[0].mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "stage, more, cuts",
    [
        ("pretrain", ("backbone.norm=batch",), [7, 13, 17]),
        pytest.param("transfer", ("selector=target_validation",), [30, 45], marks=pytest.mark.slow),
    ],
)
def test_averaging_is_resumed_to_the_same_bits(
    stage: str, more: tuple[str, ...], cuts: list[int], tmp_path: Path
) -> None:
    few = ("pretrain.max_steps=20", "finetune.max_steps=84", AVERAGE + "swa_epoch_start: 2}", *more)
    plain = compute(World(tmp_path / "plain", *MLP, CRASH, *few), stage)
    saving = "callback.resume_point.every_n_steps=4"
    assert_equal(result(plain), interrupted(tmp_path / "cut", stage, cuts, *few, saving))


def test_the_average_is_a_candidate(tmp_path: Path) -> None:
    """The last one, and with ``selector=last`` what the arm predicts with."""
    import numpy as np

    few = ("finetune.max_steps=84", AVERAGE + "swa_epoch_start: 2}")
    entry = compute(World(tmp_path, *MLP, *few), "transfer")
    with (
        np.load(entry.path / "candidates.npz") as found,
        np.load(entry.path / "predictions.npz") as p,
    ):
        assert found["step"].tolist() == [21, 42, 63, 84, 85]
        assert int(found["chosen"]) == 4
        np.testing.assert_array_equal(found["prediction"][-1], p["prediction"][found["row"]])


@pytest.mark.parametrize("stage", [pytest.param("pretrain", marks=pytest.mark.slow), "transfer"])
def test_an_exponential_average_is_resumed_to_the_same_bits(stage: str, tmp_path: Path) -> None:
    few = ("pretrain.max_steps=12", "finetune.max_steps=24", "backbone.norm=batch",
           "+callback.ema={_target_: " + LIGHTNING + "EMAWeightAveraging, decay: 0.9}")  # fmt: skip
    plain = compute(World(tmp_path / "plain", *MLP, CRASH, *few), stage)
    saving = "callback.resume_point.every_n_steps=1"
    assert_equal(result(plain), interrupted(tmp_path / "cut", stage, [3, 7], *few, saving))


@pytest.mark.parametrize(
    "stage, there", [("pretrain", "validation/loss"), ("transfer", "train/loss")]
)
def test_a_value_that_nobody_logs_is_refused_with_those_there_are(
    stage: str, there: str, tmp_path: Path
) -> None:
    world = World(tmp_path, *MLP, *STEPS, stop(stage, "validation/los"))
    with pytest.raises(UserError, match=f"monitors {stage}/validation/los, .* {stage}/{there}"):
        compute(world, stage)


def test_a_validation_that_has_not_come_is_awaited(tmp_path: Path) -> None:
    """A training of less than an epoch validates nothing: that is no mistake of the name's."""
    stopping = stop("pretrain", "validation/loss")
    assert last_step(World(tmp_path, *MLP, "pretrain.max_steps=2", stopping), "pretrain") == 2


def test_a_callback_is_for_the_stage_whose_value_it_monitors(tmp_path: Path) -> None:
    world = World(
        tmp_path, *MLP, *STEPS, stop("transfer", "train/loss", min_delta=100.0, patience=1)
    )
    assert last_step(world, "pretrain") == 40
    assert takes_part({"monitor": "mine"}, "pretrain")
    assert takes_part({}, "transfer")


def test_callbacks_of_others_are_part_of_what_they_train(tmp_path: Path) -> None:
    one = World(tmp_path, *MLP)
    two, three = (one.but(stop(stage, "train/loss")) for stage in ("pretrain", "transfer"))
    ours = one.but("callback.resume_point.every_n_steps=7")
    pretrained = [world.pretrain().entry for world in (one, ours, two, three)]
    digests = [entry.digest for entry in pretrained if entry is not None]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    keys = [
        transfer_key(world.cfg, world.cfg.transfer, world.domains, "p")["callback"]
        for world in (one, two, three)
    ]
    assert keys[0] == keys[1] == {}
    assert set(keys[2]) == {"stop"}


@pytest.mark.parametrize(
    "target, said",
    [
        ("GradientAccumulationScheduler, scheduling: {2: 2}", "trainer.accumulate_grad_batches"),
        ("LearningRateFinder", "optimizer.lr="),
        ("BatchSizeFinder", "pretrain.batch_size"),
        ("BackboneFinetuning", "gradual_unfreezing"),
    ],
)
def test_what_cannot_work_is_refused_with_the_way_on(
    target: str, said: str, tmp_path: Path
) -> None:
    world = World(tmp_path, *MLP, "+callback.x={_target_: " + LIGHTNING + target + "}")
    with pytest.raises(UserError, match=said):
        world.pretrain()


def test_another_line_of_progress_takes_the_place_of_ours(tmp_path: Path) -> None:
    bar = "+callback.bar={_target_: " + LIGHTNING + "TQDMProgressBar, refresh_rate: 0}"
    progress = "callback.progress={_target_: aetl.stage.progress.Progress, refresh_rate: 10}"
    assert last_step(World(tmp_path, *MLP, progress, bar), "pretrain") == 6
