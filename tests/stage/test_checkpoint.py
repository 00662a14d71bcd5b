"""Checkpoints as people bring them: read under any prefix, told how far they fit, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import get_model

from aetl.model.model import Model
from aetl.stage.checkpoint import bring
from aetl.stage.pretrain import build_autoencoder
from aetl.tracking.record import read_record
from aetl.transfer.network import Representation
from aetl.types import UserError
from tests.model.runs import done
from tests.tiny import MLP, differing, tiny_config

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_autoencoder(tiny_config(tmp_path_factory.mktemp("c"), *MLP), (1, 8, 8))


def brought(model: Any, file: Path, partial: bool = False) -> Any:
    return bring(file, model, Representation(layer="latent", pool=False), partial=partial)


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


WHOLE: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "data parallel": lambda s: under("module.", s),
    "compiled, in Lightning": lambda s: {"state_dict": under("_orig_mod.autoencoder.", s)},
    "Lightning, with a critic": lambda s: {
        "state_dict": under("autoencoder.", s) | {"critic.0.weight": torch.zeros(2)}, "epoch": 3,
    },
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer": {"lr": 0.1}, "step": 7},
    "nested": lambda s: {"model": {"state_dict": s}},
    "beside a number": lambda s: {**s, "epoch": 3},
}  # fmt: skip


@pytest.mark.parametrize("form", WHOLE)
def test_weights_are_found_however_they_are_kept(form: str, model: Any, tmp_path: Path) -> None:
    torch.save(WHOLE[form](model.state_dict()), tmp_path / "w.pt")
    found = brought(model, tmp_path / "w.pt")
    assert differing(found.state, model.state_dict()) == set()
    assert found.warnings == ()


def test_half_precision_and_safetensors_are_read(model: Any, tmp_path: Path) -> None:
    half = {name: t.half() for name, t in model.state_dict().items()}
    save_file(half, tmp_path / "w.safetensors")
    found = brought(model, tmp_path / "w.safetensors")
    assert differing(found.state, {k: v.float() for k, v in half.items()}) == set()


def test_a_checkpoint_that_fits_in_part_is_refused_unless_it_is_asked_for(
    model: Any, tmp_path: Path
) -> None:
    state = model.state_dict()
    first = dict(list(state.items())[:1])
    torch.save(first, tmp_path / "w.pt")
    with pytest.raises(UserError, match="1 of the encoder's 4 tensors are in it .*_partial=true"):
        brought(model, tmp_path / "w.pt")
    found = brought(model, tmp_path / "w.pt", partial=True)
    assert found.state.keys() == first.keys()
    assert "1 of the encoder's 4 tensors are in it; the rest stays at random" in found.warnings[0]


def test_other_shapes_are_listed(model: Any, tmp_path: Path) -> None:
    state = model.state_dict()
    first = next(iter(state))
    others = {k: v if k == first else torch.cat([v, v]) for k, v in state.items()}
    torch.save(others, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"is 32 there and 16 here"):
        brought(model, tmp_path / "w.pt")
    torch.save({k: torch.cat([v, v]) for k, v in state.items()}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="none of the encoder's 4 tensors is in it"):
        brought(model, tmp_path / "w.pt", partial=True)


def test_an_encoder_alone_is_taken_and_the_decoder_is_told(model: Any, tmp_path: Path) -> None:
    encoder = {k: v for k, v in model.state_dict().items() if not k.startswith("decoder")}
    torch.save(encoder, tmp_path / "w.pt")
    (line,) = brought(model, tmp_path / "w.pt").warnings
    assert "at random: decoder." in line


def test_nan_weights_are_named(model: Any, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    first = next(iter(state))
    state[first] = torch.full_like(state[first], torch.nan)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UserError, match=rf"{first} holds \d+ of \d+ values that are not finite"):
        brought(model, tmp_path / "w.pt")


class Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return os.system, ("touch executed",)


def test_a_pickle_is_refused_by_the_name_of_what_it_would_run(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": model.state_dict(), "args": Payload()}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match="is a pickle that names posix.system, and nothing in"):
        brought(model, tmp_path / "w.ckpt")
    assert not (tmp_path / "executed").exists()


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An autoencoder over torchvision's ResNet-18; the classifier's own state dict in a file."""
    folder = tmp_path_factory.mktemp("resnet")
    backbone = ("backbone=torchvision", "backbone.name=resnet18", "bottleneck.latent_dim=4")
    autoencoder = build_autoencoder(tiny_config(folder, *backbone), (3, 32, 32))
    torch.manual_seed(1)
    state = get_model("resnet18", weights=None).state_dict()
    torch.save(state, folder / "resnet18.pth")
    return autoencoder, folder / "resnet18.pth", state


def test_a_classifier_of_torchvisions_is_an_encoder_as_it_is(resnet: Any) -> None:
    autoencoder, file, state = resnet
    layer = Representation(layer="encoder.layer4", pool=True)
    found = bring(file, autoencoder, layer, partial=False)
    body = {f"encoder.{name}": t for name, t in state.items() if not name.startswith("fc.")}
    assert differing(found.state, body) == set()
    assert len(found.warnings) == 1  # the decoder, that no features depend on
    autoencoder.load_state_dict(found.state, strict=False)
    net = get_model("resnet18", weights=None)
    net.load_state_dict(state)
    net.fc = torch.nn.Identity()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours = layer(autoencoder.eval(), x)
        torch.testing.assert_close(ours, net.eval()(x))


def test_foreign_names_are_renamed_by_pattern(resnet: Any, tmp_path: Path) -> None:
    autoencoder, file, state = resnet
    other = {f"net.{name}".replace("layer", "stage-"): t for name, t in state.items()}
    save_file(other, tmp_path / "w.safetensors")
    layer = Representation(layer="encoder.layer4", pool=True)
    one = bring(file, autoencoder, layer, partial=False)
    renames = {r"^net\.": "", r"stage-(\d)": r"layer\1"}
    two = bring(tmp_path / "w.safetensors", autoencoder, layer, partial=False, renames=renames)
    assert differing(one.state, two.state) == set()
    for wrong, line in (({"(": ""}, "checkpoint_map.(="), ({".*": "a"}, "two tensors become a")):
        with pytest.raises(UserError) as caught:
            bring(file, autoencoder, layer, partial=False, renames=wrong)
        assert line in str(caught.value)


def test_where_nothing_matches_both_sides_names_are_told(resnet: Any, tmp_path: Path) -> None:
    save_file({"somebody.elses": torch.zeros(3)}, tmp_path / "w.safetensors")
    layer = Representation(layer="encoder.layer4", pool=True)
    with pytest.raises(UserError, match=r"none of .*encoder\.conv1\.weight.*somebody\.elses.*_map"):
        bring(tmp_path / "w.safetensors", resnet[0], layer, partial=False)


def test_an_autoencoder_without_weights_takes_none(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    identity = build_autoencoder(tiny_config(tmp_path, "autoencoder=identity"), (1, 8, 8))
    with pytest.raises(UserError, match="has no weights to take from it"):
        brought(identity, tmp_path / "w.safetensors", partial=True)


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["parameter/finetune", "feature/linear_probe"])
def test_a_supervised_encoder_is_transferred_like_any_other(
    transfer: str, resnet: Any, tmp_path: Path
) -> None:
    backbone = ("backbone=torchvision", "backbone.name=resnet18", f"checkpoint={resnet[1]}")
    layer = ("representation.layer=encoder.layer4", "representation.pool=true")
    run = done(tmp_path, *backbone, *layer, f"transfer={transfer}", "finetune.max_steps=2")
    record = read_record(run)
    matched = [name for name in record["receipt"]["matched"] if ".encoder." in name]
    assert len(matched) == 119  # of 120: the first convolution is of three channels there
    assert record["gain"]["accuracy"] is not None
    assert any("checkpoint=" in line for line in record["warnings"])
    assert len(Model.load(run).predict(torch.zeros(2, 8, 8, dtype=torch.uint8))) == 2
