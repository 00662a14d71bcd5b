"""A training that was cut off and started again equals the uninterrupted one bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aetl.store.store import Entry
from aetl.tracking.history import Row
from tests.tiny import CRASH, MLP, Crash, PowerCut, World, differing, history, weights

STEPS = ("pretrain.max_steps=12", "finetune.max_steps=24", CRASH)
Result = tuple[dict[str, torch.Tensor], list[Row]]


@pytest.fixture(autouse=True)
def power() -> Iterator[None]:
    yield
    Crash.at = None


def compute(world: World, stage: str) -> Entry:
    if stage == "transfer":
        Crash.at, at = None, Crash.at
        pretrained = world.pretrain()
        Crash.at = at
        return world.transfer(pretrained=pretrained)
    entry = world.pretrain().entry
    assert entry is not None
    return entry


def result(entry: Entry) -> Result:
    transferred = (entry.path / "network.safetensors").exists()
    file = "network.safetensors" if transferred else "autoencoder.pt"
    return weights(entry, file), history(entry)


def interrupted(folder: Path, stage: str, cuts: list[int], *overrides: str) -> Result:
    """The result of a stage whose process dies at the steps ``cuts``, one after the other."""
    world = World(folder, *MLP, *STEPS, *overrides)
    for cut in cuts:
        Crash.at = cut
        with pytest.raises(PowerCut):
            compute(world, stage)
    Crash.at = None
    assert not any((world.folder / "store").glob(f"{stage}-*/entry.json"))
    entry = compute(world, stage)
    assert not (entry.path / "last.ckpt").exists()
    return result(entry)


def assert_equal(one: Result, other: Result) -> None:
    assert differing(one[0], other[0]) == set()
    assert one[1] == other[1]


# 144 training examples in batches of 32 are 5 steps an epoch.
@pytest.mark.parametrize(
    "every, cuts",
    [
        pytest.param(1, [3], id="in the middle of an epoch"),
        pytest.param(3, [8], id="two steps after the last checkpoint", marks=pytest.mark.slow),
        pytest.param(
            5, [5], id="at the last step of an epoch, not yet saved", marks=pytest.mark.slow
        ),
        pytest.param(
            5, [6], id="after a checkpoint at the end of an epoch", marks=pytest.mark.slow
        ),
        pytest.param(1, [4, 5, 6, 11], id="again and again"),
        pytest.param(100, [7], id="before the first checkpoint", marks=pytest.mark.slow),
    ],
)
def test_resumed_pretraining_equals_the_uninterrupted_one(
    every: int, cuts: list[int], tmp_path: Path
) -> None:
    plain = World(tmp_path / "plain", *MLP, *STEPS)
    saving = f"callback.resume_point.every_n_steps={every}"
    resumed = interrupted(tmp_path / "cut", "pretrain", cuts, saving)
    assert_equal(resumed, result(compute(plain, "pretrain")))
    assert {row.step for row in resumed[1] if row.split == "validation"} == {5, 10}


@pytest.mark.parametrize(
    "overrides, cuts",
    [
        pytest.param(
            ("pretrain.batch_size=200",), [4, 5], id="an epoch of one step", marks=pytest.mark.slow
        ),
        pytest.param(("trainer.accumulate_grad_batches=2",), [2, 3, 5], id="accumulation"),
        pytest.param(
            ("autoencoder=vae", "bottleneck.latent_dim=4", "scheduler=cosine"),
            [4],
            id="vae",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("source.validation_fraction=0.0",), [5, 11], id="no validation", marks=pytest.mark.slow
        ),
        pytest.param(
            ("autoencoder=denoising", "backbone.dropout=0.2", "backbone.norm=batch"),
            [7],
            id="noise, dropout and batch norm",
        ),
        pytest.param(
            ("optimizer=sgd", "optimizer.lr=0.01"), [6], id="momentum", marks=pytest.mark.slow
        ),
        pytest.param(
            ("backbone.tied=true", "backbone.spectral_norm=encoder"),
            [4],
            id="tied weights and power iteration",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("autoencoder=factor_vae", "bottleneck.latent_dim=4", "scheduler=cosine"),
            [4, 7],
            id="a discriminator",
        ),
        pytest.param(
            ("autoencoder=vae_gan", "bottleneck.latent_dim=4", "trainer.accumulate_grad_batches=2"),
            [2, 5],
            id="a discriminator, accumulation",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_state_of_pretraining_is_resumed(
    overrides: tuple[str, ...], cuts: list[int], tmp_path: Path
) -> None:
    plain = World(tmp_path / "plain", *MLP, *STEPS, *overrides)
    saving = "callback.resume_point.every_n_steps=1"
    resumed = interrupted(tmp_path / "cut", "pretrain", cuts, *overrides, saving)
    assert_equal(resumed, result(compute(plain, "pretrain")))


# 40 labels in batches of 16 are 3 batches a pass, and 7 passes (21 batches) an epoch; 32 of them
# are 2 batches a pass, and 20 an epoch.
@pytest.mark.parametrize(
    "overrides, every, cuts",
    [
        pytest.param(
            "transfer=instance/density_ratio", 4, [9], id="two streams", marks=pytest.mark.slow
        ),
        pytest.param(
            "transfer=instance/density_ratio",
            7,
            [21, 23],
            id="two streams, twice",
            marks=pytest.mark.slow,
        ),
        pytest.param("selector=target_validation", 4, [9], id="selection"),
        pytest.param(
            "selector=target_validation",
            20,
            [22],
            id="selection, after a look",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "selector=target_validation",
            10,
            [20, 21],
            id="selection, twice",
            marks=pytest.mark.slow,
        ),
        # Of two layers one wakes at step 6 and the other at step 12, each over 2 or 3 steps.
        pytest.param("transfer=parameter/gradual_unfreezing", 1, [7, 9, 12, 13], id="unfreezing"),
        pytest.param(
            "transfer=parameter/gradual_unfreezing",
            5,
            [8],
            id="with a layer asleep",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "transfer=parameter/lp_ft",
            11,
            [14],
            id="a probe, then all of it",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "transfer=parameter/model_soup",
            5,
            [8],
            id="the first of a soup",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "transfer=parameter/delta", 4, [9], id="measured attention", marks=pytest.mark.slow
        ),
        pytest.param(
            "transfer=feature/domain_separation", 4, [9], id="two streams, private encoders"
        ),
    ],
)
def test_resumed_transfer_equals_the_uninterrupted_one(
    overrides: str, every: int, cuts: list[int], tmp_path: Path
) -> None:
    norm = "backbone.norm=batch"
    plain = World(tmp_path / "plain", *MLP, *STEPS, norm, overrides)
    saving = f"callback.resume_point.every_n_steps={every}"
    resumed = interrupted(tmp_path / "cut", "transfer", cuts, norm, overrides, saving)
    assert_equal(resumed, result(compute(plain, "transfer")))


def test_no_checkpoint_is_written_between_accumulated_batches(tmp_path: Path) -> None:
    """The gradient of the first half would be lost in it."""
    every = ("trainer.accumulate_grad_batches=2", "callback.resume_point.every_n_steps=1")
    world = World(tmp_path, *MLP, *STEPS, *every)
    Crash.at = 0  # the end of the first batch, which is no step yet
    with pytest.raises(PowerCut):
        compute(world, "pretrain")
    assert not list(tmp_path.glob("store/pretrain-*/last.ckpt"))


def test_a_failure_while_saving_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytorch_lightning as pl

    plain = World(tmp_path / "plain", *MLP, *STEPS)
    world = World(tmp_path / "full", *MLP, *STEPS, "callback.resume_point.every_n_steps=2")
    save = pl.Trainer.save_checkpoint

    def full_disk(self: pl.Trainer, path: Path) -> None:
        if self.global_step >= 6:
            Path(path).write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        save(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "save_checkpoint", full_disk)
        with pytest.raises(OSError, match="No space left"):
            compute(world, "pretrain")
    (file,) = tmp_path.glob("full/store/pretrain-*/last.ckpt")
    assert torch.load(file, weights_only=True)["global_step"] == 4
    assert {f.name for f in file.parent.iterdir()} == {"last.ckpt", "last.ckpt.digest"}
    assert_equal(result(compute(world, "pretrain")), result(compute(plain, "pretrain")))
