"""The pretraining stage: what it depends on, and weights from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aetl.autoencoder.monitor import vitals
from aetl.stage import pretrain
from aetl.stage.checkpoint import read_weights
from aetl.stage.pretrain import Pretrained, build_autoencoder, pretraining_digest
from aetl.types import DoesNotFit, UserError
from tests.tiny import MLP, WATCH, World, differing, history, weights


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *MLP)


def digest(pretrained: Pretrained) -> str:
    assert pretrained.entry is not None
    return pretrained.entry.digest


def test_every_weight_is_trained_from_the_seeds_start(world: World) -> None:
    start = build_autoencoder(world.cfg, (1, 8, 8)).state_dict()
    assert differing(start, world.pretrain().state) == set(start)


@pytest.mark.parametrize(
    "override",
    [
        "transfer=feature/linear_probe",
        "target.budget=20",
        "finetune.max_steps=3",
        "selector=target_validation",
        "metric=accuracy",
        "representation.layer=encoder.1",
        "callback.resume_point.every_n_steps=7",
        "tags=[mine]",
    ],
)
def test_one_pretraining_serves_everything_that_comes_after(world: World, override: str) -> None:
    first, again = world.pretrain(), world.but(override).pretrain()
    assert digest(again) == digest(first)
    assert again.entry is not None
    assert again.entry.reused


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "pretrain.lr=0.01",
        "pretrain.max_steps=5",
        "optimizer=sgd",
        "scheduler=cosine",
        "corruption=gaussian",
        "loss=bernoulli",
        "loss.reconstruction.weight=2.0",
        "backbone.activation=tanh",
        "trainer.gradient_clip_val=1.0",
        "threads=2",
        WATCH,
    ],
)
def test_what_it_depends_on_makes_another_one(world: World, override: str) -> None:
    source = world.domains.source
    other = pretraining_digest(world.but(override).cfg, source)
    assert other != pretraining_digest(world.cfg, source)


def test_weights_come_from_a_file_or_from_a_runs_folder(world: World, tmp_path: Path) -> None:
    state = dict(world.pretrain().state)
    torch.save(state, tmp_path / "own.pt")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "run" / "checkpoints" / "autoencoder.pt")
    for path in (tmp_path / "own.pt", tmp_path / "run"):
        given = world.but(f"checkpoint={path}").pretrain()
        assert given.entry is None
        assert differing(given.state, state) == set()


def test_a_given_checkpoint_gives_the_arm_that_its_own_pretraining_gives(
    world: World, tmp_path: Path
) -> None:
    pretrained = world.pretrain()
    torch.save(dict(pretrained.state), tmp_path / "own.pt")
    other = world.but(f"checkpoint={tmp_path / 'own.pt'}")
    one, two = weights(world.transfer()), weights(other.transfer())
    assert differing(one, two) == set()


def test_pretraining_goes_on_from_a_checkpoint(world: World, tmp_path: Path) -> None:
    state = dict(world.pretrain().state)
    torch.save(state, tmp_path / "own.pt")
    onward = (f"checkpoint={tmp_path / 'own.pt'}", "checkpoint_continue=true")
    still = world.but(*onward, "pretrain.max_steps=0").pretrain()
    assert differing(still.state, state) == set()
    there = world.but(*onward).pretrain()
    assert there.entry is not None
    assert len(differing(there.state, state)) > 2
    assert digest(world.but(*onward).pretrain()) == digest(there)


def test_other_weights_to_go_on_from_are_another_pretraining(world: World, tmp_path: Path) -> None:
    state = dict(world.pretrain().state)
    source, digests = world.domains.source, set()
    for factor in (1.0, 2.0):
        file = tmp_path / f"{factor}.pt"
        torch.save({name: tensor * factor for name, tensor in state.items()}, file)
        cfg = world.but(f"checkpoint={file}", "checkpoint_continue=true").cfg
        digests.add(pretraining_digest(cfg, source))
    assert len(digests | {pretraining_digest(world.cfg, source)}) == 3


def test_what_is_fitted_in_closed_form_does_not_go_on(world: World, tmp_path: Path) -> None:
    pca = world.but("autoencoder=pca")
    torch.save(dict(pca.pretrain().state), tmp_path / "pca.pt")
    with pytest.raises(DoesNotFit, match="checkpoint_continue=true: PCA is fitted in closed form"):
        pca.but(f"checkpoint={tmp_path / 'pca.pt'}", "checkpoint_continue=true").pretrain()


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "there is no such file, nor a run with"),
        (b"no checkpoint", "not a checkpoint"),
        (b"", "not a checkpoint"),
        ([1, 2], "holds no weights by name"),
        ({"epoch": 3}, "holds no weights by name"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_a_line(
    content: object, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(UserError, match=message) as caught:
        read_weights(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("autoencoder", ["vae", "vq", "pca"])
def test_vital_signs_of_the_latent_are_in_the_history(autoencoder: str, tmp_path: Path) -> None:
    small = MLP if autoencoder == "vae" else MLP[:1] if autoencoder == "vq" else ()
    world = World(tmp_path, f"autoencoder={autoencoder}", *small, "pretrain.max_steps=10")
    entry = world.pretrain().entry
    assert entry is not None
    names = {"vae": "active_units", "vq": "codes_used", "pca": "effective_rank"}
    found = [r for r in history(entry) if r.name == names[autoencoder]]
    assert [(r.split, r.step) for r in found] == [("validation", 0 if small == () else 10)]
    model = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    model.load_state_dict(dict(world.pretrain().state))
    source = world.domains.source
    x = source.pool.inputs(source.split.validation[:256])
    assert found[0].value == pytest.approx(vitals(model, x).values[names[autoencoder]])


def test_the_latent_is_looked_at_about_every_hundred_steps(tmp_path: Path) -> None:
    """160 examples, 144 of them to train on: 5 steps an epoch."""
    entry = World(tmp_path, *MLP, "pretrain.max_steps=230", "pretrain.epochs=46").pretrain().entry
    assert entry is not None
    steps = [r.step for r in history(entry) if r.name == "effective_rank"]
    assert steps == [100, 200, 230]


def test_a_large_validation_part_is_looked_at_in_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.domains.source
    whole = pretrain._validated(source)
    assert whole is source.split.validation
    monkeypatch.setattr(pretrain, "VALIDATED", 5)
    some = pretrain._validated(source)
    assert len(some) == 5
    assert set(some) <= set(whole)
    assert (some[0], some[-1]) == (whole[0], whole[-1])
