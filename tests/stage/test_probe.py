"""Probes while an autoencoder is pretrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from aetl.stage.probe import labelled_parts, measured, rankme
from aetl.types import UserError
from tests.tiny import MLP, World, history

PROBE = ("callback=[default,probe]", "callback.progress=null", "callback.probe.every_n_epochs=1",
         "pretrain.max_steps=15")  # fmt: skip


def test_the_rank_is_the_number_of_equal_directions() -> None:
    assert rankme(torch.eye(6)[:, :4] * 3) == pytest.approx(4, rel=1e-4)
    assert rankme(torch.ones(5, 4)) == pytest.approx(1, rel=1e-4)


def test_probes_are_scikit_learns_on_the_latent_of_held_out_examples(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "source.validation_fraction=0.3")
    parts = labelled_parts(world.domains.source, 60)
    autoencoder = torch.nn.Flatten()
    autoencoder.features = lambda x: x  # type: ignore[assignment]
    found = measured(autoencoder, parts)  # type: ignore[arg-type]
    x, new = (p.inputs().flatten(1).double().numpy() for p in parts)
    y, truth = (p.y.numpy() for p in parts)
    scaler = StandardScaler().fit(x)
    linear = LogisticRegression(C=1.0, max_iter=5000).fit(scaler.transform(x), y)
    assert found["probe_linear"] == pytest.approx(linear.score(scaler.transform(new), truth))
    near = KNeighborsClassifier(5).fit(x, y)
    assert found["probe_knn"] == pytest.approx(near.score(new, truth), abs=0.05)
    assert not np.intersect1d(parts.fit.identity, parts.held_out.identity).size


def test_values_are_in_the_history_and_a_milestone_ends_the_training(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, *PROBE)
    plain, probed = World(tmp_path, *MLP).pretrain(), world.pretrain()
    assert plain.entry is not None
    assert probed.entry is not None
    assert plain.entry.digest != probed.entry.digest
    rows = [row for row in history(probed.entry) if row.name == "probe_linear"]
    assert len(rows) == 3
    assert rows[-1].step == 15
    missed = world.but("callback.probe.milestones=[[5,1.0]]").pretrain()
    met = world.but("callback.probe.milestones=[[5,0.0]]").pretrain()
    last = [max(row.step for row in history(p.entry)) for p in (missed, met)]  # type: ignore[arg-type]
    assert last == [5, 15]


def test_a_source_without_classes_is_refused_in_a_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).normal(size=(60, 5)))
    world = World(tmp_path, *MLP, *PROBE, "dataset@source=npz", f"source.path={tmp_path}/own.npz",
                  "source.size=null", "dataset@target=npz", f"target.path={tmp_path}/own.npz",
                  "target.size=null", "target.budget=0", "target.shift.rotation=0.0")  # fmt: skip
    with pytest.raises(UserError, match="asks for classes"):
        world.pretrain()
