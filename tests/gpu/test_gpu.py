"""What a GPU alone can show (``make test-gpu``): no step waits for it, and it computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from aetl.data.loader import Loader
from aetl.stage.fit import Training
from aetl.store.store import Entry
from tests.conformance.test_autoencoders import AUTOENCODERS, HOST, own_backbone
from tests.conformance.test_transfers import NEEDS
from tests.stage.test_waits import STRATEGIES
from tests.tiny import CONV, MLP, World, differing, history, weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here"),
]
GPU = ("trainer.accelerator=gpu",)
DOUBLE = "trainer.precision=64-true"
NO_SCALER = "trainer.precision=bf16-mixed"  # that of float16 looks at every step itself


@contextmanager
def refusing_to_wait() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.fixture
def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step but the first of a training, and every batch, raises where it waits."""
    train_on, seen = Training._train_on, Loader._seen

    def watched(self: Training, batch: Any) -> Any:
        if self.global_step == 0:
            return train_on(self, batch)
        with refusing_to_wait():
            return train_on(self, batch)

    def brought(self: Loader, *rows: torch.Tensor) -> Any:
        with refusing_to_wait():
            return seen(self, *rows)

    monkeypatch.setattr(Training, "_train_on", watched)
    monkeypatch.setattr(Loader, "_seen", brought)


def pretrained(world: World) -> Entry:
    entry = world.pretrain().entry
    assert entry is not None
    return entry


@pytest.mark.parametrize("autoencoder", [a for a in AUTOENCODERS if a not in HOST])
def test_no_step_of_an_autoencoder_waits(
    autoencoder: str, tmp_path: Path, never_waits: None
) -> None:
    own = f"backbone={own_backbone(autoencoder)}"
    World(tmp_path, *GPU, f"autoencoder={autoencoder}", own).pretrain()


@pytest.mark.parametrize(
    "override",
    [NO_SCALER, "trainer.gradient_clip_val=1.0", "engine.data_share=0", "optimizer=sgd",
     "engine.matmul_precision=high", "engine.checkpointing=true"],
)  # fmt: skip
def test_no_step_waits_whatever_is_chosen(override: str, tmp_path: Path, never_waits: None) -> None:
    World(tmp_path, *GPU, *CONV, override).pretrain()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_step_of_a_transfer_waits(strategy: str, tmp_path: Path, never_waits: None) -> None:
    World(tmp_path, *GPU, *MLP, f"transfer={strategy}", *NEEDS.get(strategy, ())).transfer()


@pytest.mark.parametrize("backbone", [MLP, CONV])
def test_a_gpu_learns_what_a_cpu_does(backbone: tuple[str, ...], tmp_path: Path) -> None:
    found = []
    for place in ("cpu", "gpu"):
        world = World(tmp_path / place, *backbone, DOUBLE, f"trainer.accelerator={place}")
        found.append(weights(world.transfer()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("other", ["engine.data_share=0", "engine.checkpointing=true", "seed=0"])
def test_where_data_lie_changes_no_bit(other: str, tmp_path: Path) -> None:
    found = []
    for name, more in (("plain", ()), ("other", (other,))):
        entry = pretrained(World(tmp_path / name, *GPU, *CONV, "autoencoder=denoising", *more))
        found.append((weights(entry, "autoencoder.pt"), history(entry)))
    assert differing(found[0][0], found[1][0]) == set()
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize(
    "option",
    ["engine.channels_last=false", "optimizer.fused=false", "engine.compile=true",
     "engine.compile=graphs", "engine.matmul_precision=high"],
)  # fmt: skip
def test_an_option_changes_no_more_than_rounding(option: str, tmp_path: Path) -> None:
    found = []
    for name, more in (("plain", ()), ("other", (option,))):
        entry = pretrained(World(tmp_path / name, *GPU, *CONV, *more))
        found.append(weights(entry, "autoencoder.pt"))
        assert all(t.is_contiguous() and t.device.type == "cpu" for t in found[-1].values())
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-3)


def test_training_data_lie_on_the_device_as_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[torch.Tensor] = []
    train_on = Training._train_on

    def watched(self: Training, batch: Any) -> Any:
        stored.append(self.batches.stored)
        return train_on(self, batch)

    monkeypatch.setattr(Training, "_train_on", watched)
    World(tmp_path, *GPU, *MLP).pretrain()
    assert {(x.device.type, x.dtype) for x in stored} == {("cuda", torch.uint8)}


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true"])
def test_other_precisions_train(precision: str, tmp_path: Path) -> None:
    entry = pretrained(World(tmp_path, *GPU, *CONV, f"trainer.precision={precision}"))
    assert history(entry)
