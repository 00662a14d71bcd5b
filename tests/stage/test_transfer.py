"""The transfer stage: what an arm may see, what trains, what is weighed, which state is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aetl.config import resolved
from aetl.rng import Rng
from aetl.stage.arm import build_network, parts_of, strategies_of, views_of, weights_of
from aetl.stage.domains import Domain, Domains
from aetl.stage.schedule import Constant
from aetl.stage.transfer import effective_sample_size
from aetl.stage.transferring import Streams, Transferring, streams_of
from aetl.store.store import Entry
from aetl.transfer.base import Part, Undeclared
from aetl.types import UserError
from tests.tiny import CONV, MLP, World, differing, receipt, same_bits, weights
from tests.transfer.strategies import Watcher

Node = dict[str, Any]


def node(name: str, **settings: Any) -> Node:
    return {"_target_": f"tests.transfer.strategies.{name}", **settings}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *MLP)


def transferring(world: World, transfer: Node) -> Transferring:
    """The module that a transfer would train, at its start."""
    task = instantiate(world.cfg.task)
    strategies = strategies_of(transfer)
    labelled = world.domains.target.pool.subset(world.domains.target.split.labelled)
    network = build_network(world.cfg, world.domains, task, labelled)
    parts = parts_of(world.domains, labelled, task, strategies)
    weights = weights_of(strategies, views_of(strategies, parts, network, 0, "weigh"))
    given: dict[Part, Tensor] = {} if weights is None else {"source_labels": weights}
    streams = streams_of(world.cfg, parts, given, nn.Linear(1, 1))
    return Transferring(
        network,
        task,
        strategies,
        streams,
        views_of(strategies, parts, network, 0, "module"),
        seed=0,
        fit=instantiate(world.cfg.finetune),
        optimizer=instantiate(world.cfg.optimizer),
        schedule=Constant(),
        total_steps=6,
    )


# What an arm may see


def test_reaching_for_undeclared_data_is_an_error(world: World) -> None:
    arm = {"instance": node("Greedy"), "parameter": node("Both")}
    with pytest.raises(Undeclared, match=r"instance \(Greedy\) uses source_labels without"):
        world.transfer(arm)


def test_inputs_without_declared_labels_have_their_labels_wiped(world: World) -> None:
    Watcher.seen.clear()
    world.transfer({"feature": node("Watcher")})
    split, source = world.domains.target.split, world.domains.source
    assert set(Watcher.seen) == {"source_inputs", "target_inputs", "target_labels"}
    for part, pool, rows in (
        ("source_inputs", source.pool, source.split.train),
        ("target_inputs", world.domains.target.pool, split.train),
        ("target_labels", world.domains.target.pool, split.labelled),
    ):
        given, own = Watcher.seen[part], pool.subset(rows)
        assert torch.equal(given.x, own.x)
        labels = own.y if part == "target_labels" else torch.full_like(own.y, -1)
        assert torch.equal(given.y, labels)


def test_a_penalty_sees_the_streams_of_its_own_declaration_only(world: World) -> None:
    Watcher.streams.clear()
    world.transfer({"feature": node("Blind"), "parameter": node("Both")})
    assert len(Watcher.streams) == 6
    for streams in Watcher.streams:
        assert set(streams) == {"target"}
        assert (streams["target"].y == -1).all()


def relabelled(domain: Domain, keep: np.ndarray) -> Domain:
    """The domain with every label changed but those of the rows ``keep`` of the pool."""
    kept = torch.zeros(len(domain.pool), dtype=torch.bool)
    kept[torch.from_numpy(keep)] = True
    wrong = (domain.pool.y + 1) % len(domain.pool.classes)
    pool = dataclasses.replace(domain.pool, y=torch.where(kept, domain.pool.y, wrong))
    return dataclasses.replace(domain, pool=pool)


@pytest.mark.parametrize("arm", ["instance/density_ratio", "parameter/finetune"])
def test_labels_beyond_the_budget_change_nothing(world: World, arm: str) -> None:
    world = world.but(f"transfer={arm}")
    target = world.domains.target
    other = dataclasses.replace(world.domains, target=relabelled(target, target.split.labelled))
    assert other.target.fingerprint != target.fingerprint
    one, two = world.transfer(), world.transfer(domains=other)
    assert one.path != two.path
    assert differing(weights(one), weights(two)) == set()


def test_the_test_set_changes_nothing_but_the_predictions(world: World) -> None:
    world = world.but("transfer=instance/density_ratio")
    test = world.domains.target.test
    black = dataclasses.replace(test, x=torch.zeros_like(test.x), y=(test.y + 1) % 10)
    target = dataclasses.replace(world.domains.target, test=black)
    one = world.transfer()
    two = world.transfer(domains=dataclasses.replace(world.domains, target=target))
    assert differing(weights(one), weights(two)) == set()
    predictions = [np.load(e.path / "predictions.npz")["prediction"] for e in (one, two)]
    assert len(set(predictions[0])) > 1
    assert len(set(predictions[1])) == 1


def test_source_labels_with_other_classes_are_refused(world: World) -> None:
    source = world.domains.source
    pool = dataclasses.replace(source.pool, classes=tuple("abcdefghij"))
    domains = dataclasses.replace(world.domains, source=dataclasses.replace(source, pool=pool))
    with pytest.raises(UserError, match="its classes .* are not the target's"):
        world.transfer({"parameter": node("Both")}, domains=domains)


# What is minimised


def test_the_loss_is_the_mean_over_targets_plus_the_weighted_mean_over_sources(
    world: World,
) -> None:
    module = transferring(world, {"parameter": node("Both")})
    batch = next(iter(module.streams))
    values = module.losses(batch, Rng.of(0), 0, 0.0)
    by_hand = 0.0
    for name in ("labelled", "source"):
        part = batch[name]
        weight = torch.ones(16) if name == "labelled" else part.index % 3 + 1.0
        logits = module.network(part.x).detach().double()
        each = -torch.log_softmax(logits, 1)[torch.arange(16), part.y]
        expected = float((weight * each).sum() / 16)
        assert float(values[name]) == pytest.approx(expected, rel=1e-5)
        by_hand += expected
    assert float(values["loss"].detach()) == pytest.approx(by_hand, rel=1e-5)
    assert set(values) == {"loss", "labelled", "source"}


def test_weights_of_several_strategies_multiply(world: World) -> None:
    module = transferring(world, {"instance": node("Both"), "feature": node("Twice")})
    batch = next(iter(module.streams))["source"]
    n = len(world.domains.source.split.train)
    expected = (batch.index % 3 + 1.0) * torch.where(batch.index < n // 2, 2.0, 1.0)
    assert torch.equal(batch.weight, expected)


def test_the_gradient_of_an_epoch_of_weighted_batches_is_that_of_the_whole(world: World) -> None:
    """Over one pass, the batches' weighted sums add up to the weighted sum over the data."""
    module = transferring(world.but("finetune.batch_size=50"), {"parameter": node("Both")})
    source = module.streams.loaders["source"]
    total, seen = 0.0, 0
    for i, batch in enumerate(list(source)[:3]):  # 144 rows: 50, 50 and 44
        values = module.losses({"source": batch}, Rng.of(0), i, 0.0)
        total += float(values["source"].detach()) * len(batch.y)
        seen += len(batch.y)
    rows = world.domains.source.pool.subset(world.domains.source.split.train)
    each = cross_entropy(module.network(rows.inputs()), rows.y, reduction="none")
    assert seen == len(rows) == 144
    expected = (each.detach() * (torch.arange(144) % 3 + 1)).sum()
    assert total == pytest.approx(float(expected), rel=1e-5)


def test_a_penalty_adds_to_the_loss_under_its_own_name(world: World) -> None:
    module = transferring(world, {"parameter": node("Weightless")})
    batch = next(iter(module.streams))
    assert float(module.losses(batch, Rng.of(0), 0, 0.0)["parameter"]) == 0.0
    with torch.no_grad():
        module.network.head.bias += 2.0
    values = module.losses(batch, Rng.of(0), 0, 0.0)
    assert float(values["parameter"]) == pytest.approx(0.5 * 10 * 4.0)
    assert float(values["loss"].detach()) == pytest.approx(
        float(values["labelled"] + values["parameter"])
    )


def test_every_stream_lasts_as_long_as_the_first(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "source.size=20", "target.budget=all")
    streams: Streams = transferring(world, {"parameter": node("Both")}).streams
    batches = list(streams)
    assert len(batches) == len(streams) == 27
    labelled = torch.cat([batch["labelled"].index for batch in batches])
    assert torch.bincount(labelled).tolist() == [3] * 144


# What trains


@pytest.mark.parametrize(
    "backbone, selector",
    [
        (MLP, "target_validation"),
        (CONV, "last"),
        pytest.param(MLP, "last", marks=pytest.mark.slow),
        pytest.param(CONV, "target_validation", marks=pytest.mark.slow),
    ],
    ids=["mlp-validation", "conv-last", "mlp-last", "conv-validation"],
)
def test_frozen_encoder_keeps_its_batch_statistics(
    backbone: tuple[str, ...], selector: str, tmp_path: Path
) -> None:
    """A look at the held-out labels must not put it back into training mode, either."""
    norm = "backbone.norm=batch"
    world = World(tmp_path, *backbone, norm, f"selector={selector}", "finetune.max_steps=50")
    pretrained = world.pretrain()
    entry = world.transfer({"parameter": node("HeadOnly")}, pretrained)
    after = weights(entry)
    statistics = [name for name in after if "running_" in name or "num_batches" in name]
    assert len(statistics) >= 6
    for name, tensor in pretrained.state.items():
        assert same_bits(after[f"autoencoder.{name}"], tensor), name
    assert set(receipt(entry)["changed"]) == {"head.weight", "head.bias"}


def test_trained_encoder_moves_its_batch_statistics(tmp_path: Path) -> None:
    world = World(tmp_path, *CONV, "backbone.norm=batch")
    changed = set(receipt(world.transfer())["changed"])
    assert "autoencoder.encoder.0.1.running_mean" in changed
    assert not any(name.startswith("autoencoder.decoder") for name in changed)


def test_dropout_of_a_frozen_encoder_is_off(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "backbone.dropout=0.5")
    module = transferring(world, {"parameter": node("HeadOnly")})
    assert module.frozen
    batch = next(iter(module.streams))
    losses = {float(module.losses(batch, Rng.of(0), 0, 0.0)["labelled"]) for _ in range(3)}
    assert len(losses) == 1


def test_two_strategies_that_name_what_trains_are_refused(world: World) -> None:
    with pytest.raises(UserError, match="parameter and control both say what trains"):
        world.transfer({"parameter": node("HeadOnly"), "control": node("HeadOnly")})


def test_two_strategies_that_fit_the_head_are_refused(world: World) -> None:
    head = resolved(world.cfg)["head"]
    probe = {"_target_": "aetl.transfer.feature.linear_probe.LinearProbe", "head": head}
    with pytest.raises(UserError, match="feature and control both fit the head"):
        world.transfer({"feature": probe, "control": probe})


# Which state is kept


class Spy(pl.Callback):
    """Keeps the state after every epoch and the labels that training saw."""

    states: ClassVar[list[dict[str, torch.Tensor]]] = []
    inputs: ClassVar[list[torch.Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        if isinstance(module, Transferring):
            Spy.inputs.append(batch["labelled"].x)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if isinstance(module, Transferring):
            Spy.states.append({k: v.clone() for k, v in module.network.state_dict().items()})


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Entry]:
    """A training that gets worse again, with a rate that is too high."""
    Spy.states.clear()
    Spy.inputs.clear()
    world = World(
        tmp_path_factory.mktemp("selected"),
        *MLP,
        "selector=target_validation",
        "selector.fraction=0.25",
        "optimizer=sgd",
        "optimizer.lr=0.15",
        "finetune.max_steps=120",
        "pretrain.lr=0.001",
        "+callback.spy._target_=tests.stage.test_transfer.Spy",
    )
    return world, world.transfer()


def test_selection_keeps_the_first_best_state_on_the_labels_held_out(
    selected: tuple[World, Entry],
) -> None:
    world, entry = selected
    target = world.domains.target
    held = target.pool.subset(target.split.labelled[-10:])
    network = build_network(world.cfg, world.domains, instantiate(world.cfg.task), held)
    scores = []
    for state in Spy.states:
        network.load_state_dict(state)
        network.eval()
        scores.append(float((network(held.inputs()).argmax(1) == held.y).double().mean()))
    best = int(np.argmax(scores))
    assert 0 < best < len(scores) - 1, scores  # else the last one, or the first, would do
    assert differing(weights(entry), Spy.states[best]) == set()


def test_labels_that_select_are_part_of_the_budget_and_never_train(
    selected: tuple[World, Entry],
) -> None:
    world, _ = selected
    target = world.domains.target
    assert len(target.split.labelled) == 40
    trained = {x.numpy().tobytes() for batch in Spy.inputs for x in batch}
    of = [x.numpy().tobytes() for x in target.pool.subset(target.split.labelled).inputs()]
    assert trained == set(of[:30])
    assert not trained & set(of[30:])


# The rest


def test_effective_sample_size_is_kishs() -> None:
    assert effective_sample_size(torch.ones(7)) == pytest.approx(7.0)
    assert effective_sample_size(torch.tensor([5.0, 0.0, 0.0])) == pytest.approx(1.0)
    w = torch.tensor([1.0, 2.0, 3.0])
    assert effective_sample_size(w) == pytest.approx(36.0 / 14.0)
    assert effective_sample_size(10 * w) == pytest.approx(36.0 / 14.0)


def test_receipt_has_the_effective_sample_size_of_the_weights(world: World) -> None:
    entry = world.transfer({"parameter": node("Both")})
    assert receipt(entry)["effective_sample_size"] == pytest.approx((48 * 6) ** 2 / (48 * 14))
    assert receipt(world.transfer())["effective_sample_size"] is None


def test_scratch_arm_is_the_same_entry_whatever_the_source(world: World) -> None:
    other = world.but("source.shift.invert=true", "transfer=control/scratch")
    scratch = world.but("transfer=control/scratch").transfer()
    domains = World(world.folder, *other.overrides).domains
    assert domains.source.fingerprint != world.domains.source.fingerprint
    again = other.transfer(domains=domains)
    assert again.reused
    assert again.path == scratch.path


def test_every_setting_that_matters_gives_another_entry(world: World) -> None:
    overrides = (
        "seed=1",
        "finetune.lr=0.01",
        "optimizer=sgd",
        "scheduler=cosine",
        "selector=target_validation",
        "transfer.parameter.encoder_scale=0.5",
        "representation.layer=encoder.1",
        "backbone.activation=tanh",
        "trainer.gradient_clip_val=1.0",
        "+callback.spy._target_=tests.stage.test_transfer.Spy",
    )
    pretrained = world.pretrain()
    entries = {world.transfer(pretrained=pretrained).digest}
    for override in overrides:
        entries.add(world.but(override).transfer(pretrained=pretrained).digest)
    assert len(entries) == len(overrides) + 1


def test_how_often_a_checkpoint_is_written_is_no_such_setting(world: World) -> None:
    first = world.transfer()
    assert world.but("callback.resume_point.every_n_steps=3").transfer().path == first.path


def test_domains_without_labels_are_refused_by_an_arm_that_needs_them(world: World) -> None:
    target = world.domains.target
    split = dataclasses.replace(target.split, labelled=target.split.labelled[:0])
    domains = Domains(world.domains.source, dataclasses.replace(target, split=split), 0)
    with pytest.raises(UserError, match="learns from target labels alone, and has none"):
        world.transfer(domains=domains)
