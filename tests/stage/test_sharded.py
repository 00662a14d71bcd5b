"""Weights that are shared out over two processes: the same training, whole weights in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.distributed.tensor import DTensor
from torch.nn.utils.parametrizations import spectral_norm

from aetl.backbone.tied import Tied
from aetl.stage.sharded import Sharded
from aetl.types import DoesNotFit, UserError
from tests.conformance.test_two_processes import tensors_of
from tests.conformance.two import Pair
from tests.tiny import history

HERE = "+callback.watch={_target_: tests.stage.test_sharded.Watched}"
CRASH = "+callback.crash={_target_: tests.tiny.Crash}"
# 144 training examples in batches of 47 and a last one of 3: uneven on two ranks.
STEPS = ["pretrain.batch_size=47", "pretrain.max_steps=5"]
BACKBONES = {
    "vit": ["backbone=vit", "backbone.dim=16", "backbone.heads=2", "backbone.depth=2"],
    "resnet": ["backbone=resnet", "backbone.width=4"],
}
CASES = [("undercomplete", "vit"), ("mae", "vit"), ("vae", "vit"), ("undercomplete", "resnet"),
         ("vae", "resnet"), ("factor_vae", "resnet")]  # fmt: skip


class Watched(pl.Callback):
    """Fails where blocks are not shared out while they are trained by ``Sharded``."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if isinstance(trainer.strategy, Sharded):
            parts = [p for p in module.parameters() if isinstance(p, DTensor)]
            here, whole = (sum(map(f, parts)) for f in (local_size, torch.Tensor.numel))
            assert 0 < here < 0.7 * whole, (here, whole)


def local_size(parameter: DTensor) -> int:
    return parameter.to_local().numel()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


def assert_same(one: Path, other: Path, **tolerance: float) -> None:
    assert one != other
    a, b = tensors_of(one), tensors_of(other)
    assert a
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, msg=name, **tolerance)
    rows = [history(SimpleNamespace(path=path)) for path in (one, other)]  # type: ignore[arg-type]
    for ours, theirs in zip(*rows, strict=True):
        assert ours[:5] == theirs[:5]
        assert theirs.value == pytest.approx(ours.value, rel=max(1e-5, tolerance["rtol"])), ours


@pytest.mark.slow
@pytest.mark.parametrize("autoencoder, backbone", CASES)
def test_what_is_shared_out_trains_as_by_ddp(
    autoencoder: str, backbone: str, pair: Pair, folder: Path
) -> None:
    overrides = [*STEPS, f"autoencoder={autoencoder}", *BACKBONES[backbone], HERE,
                 "trainer.precision=64-true"]  # fmt: skip
    plain = pair.do(folder, overrides, "pretrain", 300)
    shared = pair.do(folder, ["trainer=fsdp", *overrides], "pretrain", 300)
    assert_same(plain, shared, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "override, tolerance",
    [("trainer.accumulate_grad_batches=2", 1e-7), ("engine.checkpointing=true", 1e-7),
     ("trainer.precision=bf16-mixed", 1e-2)],
)  # fmt: skip
def test_what_else_is_chosen_goes_with_it(
    override: str, tolerance: float, pair: Pair, folder: Path
) -> None:
    # Not Adam, which makes a step of full size of a gradient that is zero up to rounding.
    overrides = [*STEPS, *BACKBONES["vit"], "trainer.precision=64-true", "optimizer=sgd", override]
    plain = pair.do(folder, overrides, "pretrain", 300)
    shared = pair.do(folder, ["trainer=fsdp", *overrides], "pretrain", 300)
    assert_same(plain, shared, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_an_arm_trains_from_it_by_ddp(pair: Pair, folder: Path) -> None:
    overrides = [*STEPS, *BACKBONES["vit"], HERE]
    plain = pair.do(folder, overrides, "transfer", 300)
    shared = pair.do(folder, ["trainer=fsdp", *overrides], "transfer", 300)
    assert_same(plain, shared, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["trainer=fsdp", *STEPS, *BACKBONES["vit"], CRASH,
                 "callback.resume_point.every_n_steps=2"]  # fmt: skip
    pair = Pair()
    try:
        whole = pair.do(tmp_path / "whole", overrides, "pretrain", 300)
        pair.end()
        monkeypatch.setenv("AETL_TEST_CRASH_AT", "3")
        with pytest.raises(AssertionError, match="at step 3"):
            pair.do(tmp_path / "cut", overrides, "pretrain", 300)
        monkeypatch.delenv("AETL_TEST_CRASH_AT")
        (saved,) = (tmp_path / "cut").rglob("last.ckpt")
        state = torch.load(saved, weights_only=True)
        assert state["global_step"] == 2
        assert not any(isinstance(t, DTensor) for t in state["state_dict"].values())
        resumed = pair.do(tmp_path / "cut", overrides, "pretrain", 300)
    finally:
        pair.end()
    assert_same(whole, resumed, rtol=0.0, atol=0.0)


def of(**settings: Any) -> Any:
    """As much of a module as a refusal looks at."""
    return SimpleNamespace(
        modules=lambda: settings.get("modules", []),
        clip=settings.get("clip", {}),
        trainer=SimpleNamespace(callbacks=settings.get("callbacks", [])),
    )


def test_what_needs_whole_weights_is_refused() -> None:
    strategy = Sharded()
    strategy._refuse(of())
    with pytest.raises(DoesNotFit, match="not tied"):
        strategy._refuse(of(modules=[Tied((2, 2))]))
    with pytest.raises(DoesNotFit, match="spectrally normalised"):
        strategy._refuse(of(modules=[spectral_norm(torch.nn.Linear(2, 2))]))
    with pytest.raises(UserError, match="gradient_clip_val"):
        strategy._refuse(of(clip={"gradient_clip_val": 1.0}))
    with pytest.raises(UserError, match="averages of the weights"):
        strategy._refuse(of(callbacks=[EMAWeightAveraging()]))
