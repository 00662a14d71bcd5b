"""What is normal is learnt from, what is not is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.task.anomaly import Anomaly
from aetl.types import UserError
from tests.tiny import MLP, World

CLASSES = ("cat", "dog", "owl")


def anomaly(**keys: Any) -> Anomaly:
    given: dict[str, Any] = {
        "normal": ["cat"], "contamination": 0.0, "score": "reconstruction", "samples": 1
    } | keys  # fmt: skip
    return Anomaly(**given)


def examples(y: list[int], classes: tuple[str, ...] = CLASSES) -> Examples:
    return Examples.of(torch.randn(len(y), 3), torch.tensor(y), classes)


def test_all_that_is_not_named_is_strange_and_nobody_knows_the_unlabelled() -> None:
    assert anomaly().targets(examples([0, 1, 2, -1, 0])).tolist() == [0, 1, 1, -1, 0]
    both = anomaly(normal=["cat", "owl"])
    assert both.targets(examples([0, 1, 2])).tolist() == [0, 1, 0]
    column = examples([0, 1, 1], ("0", "1"))
    assert anomaly(normal=[0]).targets(column).tolist() == [0, 1, 1]


@pytest.mark.parametrize("share, others", [(0.0, 0), (0.1, 10), (0.25, 30), ("as_is", 60)])
def test_the_asked_share_of_strangers_is_mixed_in(share: Any, others: int) -> None:
    pool = examples([0] * 90 + [1] * 40 + [2] * 20 + [-1] * 5)
    rows = anomaly(contamination=share).admitted(pool, Rng.of(0))
    assert rows is not None
    y = pool.y[torch.from_numpy(rows)]
    assert int((y == 0).sum()) == 90
    assert int((y > 0).sum()) == others
    assert int((y < 0).sum()) == 0
    assert (np.diff(rows) > 0).all()


def test_a_source_without_the_normal_classes_is_used_whole() -> None:
    assert anomaly().admitted(examples([0, 1], ("a", "b")), Rng.of(0)) is None
    assert anomaly().admitted(examples([-1, -1], ()), Rng.of(0)) is None


@pytest.mark.parametrize(
    "normal, pool, said",
    [
        (["cow"], examples([0, 1]), r"task.normal=\[cow\]: no such class \(cat, dog, owl\)"),
        (list(CLASSES), examples([0, 1]), "every class is normal"),
        (["cat"], examples([-1, -1], ()), "this data has none"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(normal: Any, pool: Examples, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        anomaly(normal=normal).targets(pool)
    assert "\n" not in str(error.value)


def test_no_arm_and_no_pretraining_sees_an_anomaly_or_a_label(tmp_path: Path) -> None:
    overrides = ("task=anomaly", "task.normal=[3,5]", "target.budget=20")
    world = World(tmp_path, *MLP, *overrides, "transfer=feature/frozen")
    for domain in (world.domains.source, world.domains.target):
        assert set(domain.pool.y.tolist()) == {3, 5}
        assert len(domain.split.labelled) <= len(domain.split.train)
    assert len(world.domains.target.split.labelled) == 20
    assert len(set(world.domains.target.test.y.tolist())) == 10
    saved = np.load(world.transfer().path / "predictions.npz")
    test = world.domains.target.test
    assert np.array_equal(saved["y"], ~np.isin(test.y.numpy(), [3, 5]))
    assert saved["prediction"].shape == (len(test),)
    assert (world.domains.target.taught(anomaly(normal=[3, 5])).y == -1).all()
