"""What must agree inside one row of a table."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from aetl.config import resolved
from aetl.label import LABELLED, names_of, settings_digest
from aetl.types import SUPERVISED
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("label")
    return resolved(tiny_config(folder))


STOP = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "loss"}
OWN = {"_target_": "aetl.stage.fit.ResumePoint", "every_n_steps": 7}


@pytest.mark.parametrize(
    "place, value, same",
    [
        (("seed",), 7, True),
        (("target", "budget"), 7, True),
        (("target", "fold"), 1, True),
        (("callback", "resume_point"), OWN, True),
        (("callback", "stop"), STOP, False),
        (("head",), {"_target_": "aetl.head.kmeans.KMeans", "seed": 3}, False),
        (("pretrain", "epochs"), 7, False),
        (("target", "folds"), 5, False),
        (("target", "stratified"), False, True),
        (("source", "fold"), 1, True),
    ],
)
def test_what_may_change_a_result_is_in_the_digest(
    place: tuple[str, ...], value: Any, same: bool, plain: dict[str, Any]
) -> None:
    other = copy.deepcopy(plain)
    node = other
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    assert (settings_digest(other) == settings_digest(plain)) is same


def test_budgets_are_labels_where_arms_learn_from_them() -> None:
    assert LABELLED == SUPERVISED


def test_what_a_head_draws_follows_the_seed(plain: dict[str, Any]) -> None:
    def digest(seed: int) -> str:
        return settings_digest(plain | {"twin": plain["twin"] | {"head": {"seed": seed}}})

    assert digest(0) == digest(1)


def test_a_fold_of_the_source_alone_is_a_setting(plain: dict[str, Any]) -> None:
    """Where both are cut alike it follows the target's, and is none."""
    alone = copy.deepcopy(plain)
    alone["source"]["folds"] = 5
    both = copy.deepcopy(alone)
    both["target"]["folds"] = 5
    for node, same in ((alone, False), (both, True)):
        other = copy.deepcopy(node)
        other["source"]["fold"] = 1
        assert (settings_digest(other) == settings_digest(node)) is same


def test_a_run_notes_its_fold_where_there_are_folds(plain: dict[str, Any]) -> None:
    assert names_of(plain, {})["fold"] is None
    folds = {**plain, "target": {**plain["target"], "folds": 5, "fold": 3}}
    assert names_of(folds, {})["fold"] == 3


def test_a_budget_says_how_its_labels_were_drawn(plain: dict[str, Any]) -> None:
    def budget(**keys: Any) -> Any:
        return names_of({**plain, "target": {**plain["target"], **keys}}, {})["budget"]

    assert budget(budget=20) == 20
    assert budget(budget=20, stratified=False) == "20 at random"
    assert budget(budget=20, per_class=True) == "20 per class"
    assert budget(budget="all", stratified=False) == "all"
