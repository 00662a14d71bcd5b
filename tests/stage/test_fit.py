"""Training: the optimiser's rates, keyed randomness, and a loss that is not finite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from aetl.cli import main
from aetl.stage.fit import epochs_of
from aetl.stage.pretrain import build_autoencoder
from aetl.stage.schedule import Cosine
from aetl.types import Batch, UserError
from tests.tiny import MLP, SMALL, WATCH, Watch, World, differing, history, weights


@pytest.fixture(autouse=True)
def unwatched() -> None:
    Watch.steps.clear()


def test_every_epoch_trains_on_every_source_example_once_in_its_own_order(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, WATCH, "pretrain.max_steps=10")
    world.pretrain()
    train = world.domains.source.split.train
    orders = [
        torch.cat([step["batch"].index for step in Watch.steps if step["epoch"] == epoch])
        for epoch in (0, 1)
    ]
    for order in orders:
        assert sorted(order.tolist()) == train.tolist()
    assert not torch.equal(*orders)


def test_the_rate_follows_the_schedule_over_the_steps(tmp_path: Path) -> None:
    steps = ("pretrain.max_steps=10", "pretrain.lr=0.02")
    World(tmp_path, *MLP, WATCH, "scheduler=cosine", "scheduler.warmup=0.3", *steps).pretrain()
    schedule = Cosine(warmup=0.3, floor=0.0)
    expected = [0.02 * schedule.at(step / 10) for step in range(10)]
    assert [step["rates"][0] for step in Watch.steps] == pytest.approx(expected)


def test_the_optimiser_is_the_configs_with_the_stages_own_rate(tmp_path: Path) -> None:
    """One step of plain gradient descent, done by hand."""
    world = World(
        tmp_path, *MLP, WATCH, "optimizer=sgd", "optimizer.momentum=0.0", "pretrain.lr=0.003",
        "pretrain.max_steps=1",
    )  # fmt: skip
    entry = world.pretrain().entry
    assert entry is not None
    model = build_autoencoder(world.cfg, (1, 8, 8))
    x = Watch.steps[0]["batch"].x
    (model(x).reconstruction - x).square().sum((1, 2, 3)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        expected = parameter.detach() - 0.003 * parameter.grad
        torch.testing.assert_close(weights(entry, "autoencoder.pt")[name], expected)


def test_history_is_the_mean_over_an_epochs_batches(tmp_path: Path) -> None:
    entry = World(tmp_path, *MLP, WATCH, "pretrain.max_steps=7").pretrain().entry
    assert entry is not None
    rows = {(r.step, r.name): r.value for r in history(entry) if r.split == "train"}
    losses = [step["loss"] for step in Watch.steps]
    assert rows[5, "loss"] == pytest.approx(sum(losses[:5]) / 5, rel=1e-6)
    assert rows[7, "loss"] == pytest.approx(sum(losses[5:]) / 2, rel=1e-6)
    assert rows[7, "reconstruction"] == rows[7, "loss"]
    assert len(rows) == 4


def test_validation_is_on_the_held_out_examples_at_the_state_of_that_step(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "pretrain.max_steps=5")
    pretrained = world.pretrain()
    assert pretrained.entry is not None
    model = build_autoencoder(world.cfg, (1, 8, 8))
    model.load_state_dict(dict(pretrained.state))
    source = world.domains.source
    x = source.pool.subset(source.split.validation).inputs()
    expected = (model(x).reconstruction - x).square().sum((1, 2, 3)).mean()
    (row,) = (r for r in history(pretrained.entry) if r[1] == "validation" and r.name == "loss")
    assert row.step == 5
    assert row.value == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(
    "noise",
    ["corruption=gaussian", pytest.param("backbone.dropout=0.3", marks=pytest.mark.slow)],
)
def test_randomness_does_not_depend_on_what_was_drawn_before(noise: str, tmp_path: Path) -> None:
    overrides = (*MLP, noise)
    one = World(tmp_path / "one", *overrides).pretrain()
    torch.rand(1000)
    two = World(tmp_path / "two", *overrides).pretrain()
    other = World(tmp_path / "other", *overrides, "seed=1").pretrain()
    assert differing(one.state, two.state) == set()
    assert differing(one.state, other.state) == set(one.state)


def test_training_leaves_the_global_randomness_of_building_alone(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_autoencoder(world.cfg, (1, 8, 8))
    assert torch.equal(torch.rand(4), expected)


def test_finetuning_scales_the_encoders_rate(tmp_path: Path) -> None:
    scale = "transfer.parameter.encoder_scale=0.1"
    world = World(tmp_path, *MLP, WATCH, "finetune.lr=0.01", scale)
    pretrained = world.pretrain()
    Watch.steps.clear()
    world.transfer(pretrained=pretrained)
    assert len(Watch.steps) == 6
    for step in Watch.steps:
        assert step["rates"] == pytest.approx([0.001, 0.01])


def test_an_encoder_scale_of_zero_moves_the_head_alone(tmp_path: Path) -> None:
    scale = "transfer.parameter.encoder_scale=0.0"
    world = World(tmp_path, *MLP, scale, "optimizer.weight_decay=0.1")
    pretrained = world.pretrain()
    after = weights(world.transfer(pretrained=pretrained))
    before = {f"autoencoder.{name}": tensor for name, tensor in pretrained.state.items()}
    assert differing(before, {k: v for k, v in after.items() if k in before}) == set()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    Watch.steps.clear()
    world = World(
        tmp_path_factory.mktemp("nan"), *MLP, WATCH, "optimizer=sgd", "pretrain.lr=1e20",
        "loss=[mse,l1_code]",
    )  # fmt: skip
    with pytest.raises(FloatingPointError) as caught:
        world.pretrain()
    return world, str(caught.value)


def test_a_loss_that_is_not_finite_stops_and_names_step_and_terms(
    diverged: tuple[World, str],
) -> None:
    _, message = diverged
    assert message.startswith("pretrain: loss, ")
    assert "reconstruction" in message
    assert "is not finite at step" in message
    assert "lower the learning rate" in message
    assert "\n" not in message


def test_the_batch_of_a_loss_that_is_not_finite_is_kept(diverged: tuple[World, str]) -> None:
    world, message = diverged
    (file,) = world.folder.glob("store/pretrain-*/diverged.pt")
    assert str(file) in message
    saved = torch.load(file, weights_only=True)
    assert f"at step {saved['step']} " in message
    batch = Batch(**saved["batch"])
    assert torch.isfinite(batch.x).all()
    assert not torch.isfinite(saved["terms"]["loss"])
    assert set(saved["terms"]) == {"loss", "reconstruction", "l1_code"}


def test_a_diverged_stage_is_not_done(diverged: tuple[World, str]) -> None:
    world, _ = diverged
    (file,) = world.folder.glob("store/pretrain-*/diverged.pt")
    assert not (file.parent / "entry.json").exists()
    assert not (file.parent / "autoencoder.pt").exists()


def test_a_loss_that_explodes_without_leaving_the_numbers_stops_and_is_kept(tmp_path: Path) -> None:
    steps = ("optimizer=sgd", "pretrain.lr=1e3", "pretrain.max_steps=50", "autoencoder=linear")
    world = World(tmp_path, *steps, "bottleneck.latent_dim=4")
    with pytest.raises(FloatingPointError, match=r"loss is more than 1e\+06 times its first") as e:
        world.pretrain()
    (file,) = world.folder.glob("store/pretrain-*/diverged.pt")
    saved = torch.load(file, weights_only=True)
    assert torch.isfinite(saved["terms"]["loss"])
    assert f"reconstruction {float(saved['terms']['reconstruction']):.3g}" in str(e.value)
    assert f"at step {saved['step']} " in str(e.value)
    assert str(file) in str(e.value)
    assert Batch(**saved["batch"]).x.shape == (32, 1, 8, 8)


def test_a_term_that_is_finite_is_not_named(tmp_path: Path) -> None:
    """An infinite weight: both terms are finite, their sum is not."""
    world = World(tmp_path, *MLP, "loss=[mse,l1_code]", "loss.reconstruction.weight=inf")
    with pytest.raises(FloatingPointError, match="^pretrain: loss is not finite at step 0 "):
        world.pretrain()


def test_inputs_beyond_a_network_are_told_and_no_rate_is_blamed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Vectors of 1e25 before any step: one line, without an exception's name, also on record."""
    x = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32) * 1e25
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(80) % 2)
    data = [f"{key}={value}" for part in ("source", "target") for key, value in (
        (f"dataset@{part}", "npz"), (f"{part}.path", tmp_path / "own.npz"))]  # fmt: skip
    few = [word for word in SMALL if "size=160" not in word and "rotation" not in word]
    assert main([*few, *MLP, *data, "target.budget=10", f"output_dir={tmp_path}/out"]) == 1
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("aetl: pretrain: loss, reconstruction is not finite at step 0 ")
    assert "no step was taken before it" in line
    assert "scale=standard" in line
    assert "Error" not in line
    (record,) = tmp_path.glob("out/2*/*/run.json")
    assert json.loads(record.read_text())["error"] == line.removeprefix("aetl: ")


def test_a_last_batch_of_one_trains_with_batch_normalisation(tmp_path: Path) -> None:
    """144 examples in batches of 11, and 33 labels in batches of 16, leave one each."""
    alone = ("pretrain.max_steps=14", "pretrain.batch_size=11", "target.budget=33")
    world = World(tmp_path, *MLP, "backbone.norm=batch", *alone, "finetune.batch_size=16")
    world.transfer(pretrained=world.pretrain())
    for stage, size in (("pretrain", "pretrain"), ("transfer", "finetune")):
        with pytest.raises(UserError, match=rf"^{size}.batch_size=1: backbone.norm=batch needs"):
            getattr(world.but(f"{size}.batch_size=1"), stage)()


def test_gradient_accumulation_over_even_batches_equals_the_joint_batch(tmp_path: Path) -> None:
    """144 examples: 4 batches of 36 in twos are 2 batches of 72, for a loss of means."""
    plain = ("optimizer=sgd", "optimizer.lr=0.01", "pretrain.max_steps=4")
    joint = World(tmp_path / "joint", *MLP, *plain, "pretrain.batch_size=72").pretrain()
    halves = World(
        tmp_path / "halves", *MLP, *plain, "pretrain.batch_size=36",
        "trainer.accumulate_grad_batches=2",
    ).pretrain()  # fmt: skip
    for name, tensor in joint.state.items():
        torch.testing.assert_close(halves.state[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer", ["adam", "sgd", pytest.param("adamw", marks=pytest.mark.slow)]
)
def test_every_optimiser_lowers_the_loss(optimizer: str, tmp_path: Path) -> None:
    rate = "optimizer.lr=0.003" if optimizer != "sgd" else "optimizer.lr=0.0005"
    world = World(tmp_path, *MLP, f"optimizer={optimizer}", rate, "pretrain.max_steps=25")
    assert instantiate(world.cfg.optimizer).func.__name__.lower() == optimizer
    entry = world.pretrain().entry
    assert entry is not None
    losses = [r.value for r in history(entry) if r.split == "validation" and r.name == "loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_epochs_are_counted_in_optimiser_steps() -> None:
    assert epochs_of(300, 20, 1) == 15
    assert epochs_of(301, 20, 1) == 16
    assert epochs_of(300, 20, 3) == 43
