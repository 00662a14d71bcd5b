"""Tables through the whole program: domains of one file, matched by the names of their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aetl.comparison.examples import read_examples
from aetl.model.model import Model
from aetl.stage.evaluate import evaluate
from aetl.types import UserError
from tests.model.runs import done
from tests.tiny import MLP, World, receipt, weights


def test_two_domains_of_one_table_are_pretrained_and_transferred(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ill = rng.integers(0, 2, 240)
    table = pd.DataFrame({
        "age": np.where(rng.random(240) < 0.1, np.nan, 50 + 20 * ill + rng.normal(0, 5, 240)),
        "colour": rng.choice(["red", "green", "blue"], 240),
        "site": rng.choice(["A", "B"], 240),
        "ill": np.where(ill, "yes", "no"),
        "patient": [f"p{number // 3}" for number in range(240)],
    })  # fmt: skip
    table.to_csv(tmp_path / "own.csv", index=False)
    keys = [
        "target=ill",
        "group=patient",
        f"path={tmp_path / 'own.csv'}",
        "size=null",
        "shift.rotation=0.0",
    ]
    more = ["dataset@source=table", "dataset@target=table", "source.where='site=A'",
            "target.where='site!=A'", "target.budget=20", "duplicates=drop",
            *(f"{domain}.{key}" for domain in ("source", "target") for key in keys)]  # fmt: skip
    world = World(tmp_path, *MLP, *more, "pretrain.max_steps=40", "finetune.max_steps=120")
    source, target = world.domains.source.pool, world.domains.target.pool
    assert source.columns == target.columns == (
        "age", "age=?", "colour=blue", "colour=green", "colour=red", "colour=?"
    )  # fmt: skip
    sites = table.site.value_counts()
    for letter, domain in zip("AB", (world.domains.source, world.domains.target), strict=True):
        assert len(domain.pool) + len(domain.test) == sites[letter]
    entry: Any = world.transfer()
    with np.load(entry.path / "predictions.npz") as found:
        assert (found["prediction"] == found["y"]).mean() > 0.8
        right = (found["prediction"] == found["y"]).astype(float)
    (tmp_path / "run").mkdir()
    twin = {"transfer": entry, "twin": entry}
    noted = evaluate(world.cfg, world.domains, None, twin, tmp_path / "run")["examples"]
    saved = read_examples(tmp_path / "run", noted)
    group = world.domains.target.test.group
    assert group is not None
    patients = np.unique(group)
    assert noted["groups"] == len(patients) == len(saved["value.accuracy.arm"])
    assert len(saved["group"]) == noted["count"] > noted["groups"]
    # The pseudo-value of a patient: how far the mean falls without him.
    without = np.array([right[group != patient].mean() for patient in patients])
    expected = len(patients) * right.mean() - (len(patients) - 1) * without
    np.testing.assert_allclose(saved["value.accuracy.arm"], expected, rtol=1e-5)


def halves(folder: Path) -> list[str]:
    """Two tables that share a number and a category, and have two columns of their own each."""
    rng = np.random.default_rng(0)
    ill = rng.integers(0, 2, 200)
    whole = pd.DataFrame({
        "age": 50 + 20 * ill + rng.normal(0, 5, 200), "colour": rng.choice(["red", "green"], 200),
        "dose": rng.normal(size=200), "mass": rng.normal(size=200),
        "pulse": ill + rng.normal(size=200), "site": rng.choice(["A", "B"], 200),
        "ill": np.where(ill, "yes", "no"),
    })  # fmt: skip
    parts = {
        "source": ["dose", "age", "mass", "colour"],
        "target": ["pulse", "colour", "site", "age"],
    }
    for domain, names in parts.items():
        rows = whole[:100] if domain == "source" else whole[100:]
        rows[[*names, "ill"]].to_csv(folder / f"{domain}.csv", index=False)
    return [
        "dataset@source=table", "dataset@target=table", "target.columns=own", "target.budget=40",
        *(f"{domain}.path={folder / domain}.csv" for domain in parts),
        *(f"{domain}.{key}" for domain in parts for key in ("target=ill", "size=null")),
        "target.shift.rotation=0.0",
    ]  # fmt: skip


def test_the_first_layer_keeps_the_weights_of_shared_columns(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, *halves(tmp_path), "finetune.lr=0.0")
    source, target = world.domains.source.pool.columns, world.domains.target.pool.columns
    shared = ("age", "colour=green", "colour=red", "colour=?")
    assert target == (*shared, "pulse", "site=A", "site=B", "site=?")
    pretrained = world.pretrain()
    there = pretrained.state["encoder.1.0.weight"]
    entry = world.transfer(pretrained=pretrained)
    noted, now = receipt(entry), weights(entry)
    here = now["autoencoder.encoder.1.0.weight"]
    assert (there.shape, here.shape) == ((16, len(source)), (16, len(target)))
    for k, name in enumerate(target):
        if name in shared:
            assert (here[:, k] == there[:, source.index(name)]).all()
    scratch = world.transfer({"control": {"_target_": "aetl.transfer.control.scratch.Scratch"}})
    start = weights(scratch)["autoencoder.encoder.1.0.weight"]
    assert (here[:, 4:] == start[:, 4:]).all()  # as it starts without any pretraining
    assert noted["columns"] == {
        "shared": list(shared), "anew": ["pulse", "site=A", "site=B", "site=?"],
        "left_out": ["dose", "mass"],
    }  # fmt: skip
    assert sorted(noted["by_column"]) == [
        "autoencoder.decoder.2.0.bias", "autoencoder.decoder.2.0.weight",
        "autoencoder.encoder.1.0.weight",
    ]  # fmt: skip
    assert "autoencoder.encoder.1.0.bias" in noted["matched"]


SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in ("feature/dann", "control/raw_features")]


@pytest.mark.parametrize("arm", ["parameter/finetune", *SLOW])
def test_arms_of_every_family_take_a_target_with_columns_of_its_own(
    tmp_path: Path, arm: str
) -> None:
    run = done(tmp_path, *halves(tmp_path), f"transfer={arm}")
    model = Model.load(run)
    with np.load(run / "predictions.npz") as kept:
        rows = pd.read_csv(tmp_path / "target.csv").iloc[kept["row"]]
        rows.to_csv(tmp_path / "new.csv", index=False)
        found = model.predict(tmp_path / "new.csv", progress=False)
        np.testing.assert_allclose(found.probability, kept["probability"], atol=1e-6)


def test_a_target_without_a_column_of_the_source_is_refused(tmp_path: Path) -> None:
    own = halves(tmp_path)
    table = pd.read_csv(tmp_path / "target.csv").rename(columns={"age": "a", "colour": "c"})
    table.to_csv(tmp_path / "target.csv", index=False)
    with pytest.raises(UserError, match="has 0 of the source's 4 columns") as caught:
        World(tmp_path, *MLP, *own, "target.min_overlap=0.0")
    assert "\n" not in str(caught.value)
