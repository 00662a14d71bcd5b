"""Tables through the whole program: domains of one file, matched by the names of their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aetl.comparison.examples import read_examples
from aetl.stage.evaluate import evaluate
from tests.tiny import MLP, World


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
