"""What every score of ``conf/score`` keeps to. A new one is here by existing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aetl.config import conf_dir
from aetl.score.base import Evidence, Score

FILES = sorted(path for path in (conf_dir() / "score").glob("*.yaml") if path.stem != "none")
PROBE = "linear_probe"


def score_of(name: str) -> Score:
    node = OmegaConf.load(conf_dir() / "score" / f"{name}.yaml")
    head = OmegaConf.load(conf_dir() / "head" / "logistic.yaml")  # some ask for the config's head
    head.folds = 2
    found: Score = instantiate(OmegaConf.create({"score": node, "head": head}).score)
    return found


def evidence(kind: str, features: int, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, features))
    y = np.arange(40) % 4
    x[:, 0] += y
    source, target = rng.normal(size=(2, 30, features))
    factors = np.stack([y, np.arange(40) // 20], 1)
    targets = y if kind == "classification" else x.sum(1)
    return Evidence(x, targets, source, target, x, factors, ("shape", "size"))


# A tuned head is fitted many times over: of more or fewer features with the slow tests.
@pytest.mark.parametrize(
    "features, name",
    [
        pytest.param(
            n, p.stem, marks=[pytest.mark.slow] * (n == 100 or (p.stem == PROBE and n == 1))
        )
        for n in (1, 8, 100)
        for p in FILES
    ],
)
def test_a_score_is_finite_and_the_same_again(name: str, features: int) -> None:
    score = score_of(name)
    for kind in score.kinds:
        given = evidence(kind, features)
        before = given.features.copy()
        value = score(given)
        assert np.isfinite(value)
        assert score(given) == value
        assert np.array_equal(given.features, before)


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_features_without_any_variance_do_not_crash(name: str) -> None:
    score = score_of(name)
    for kind in score.kinds:
        given = evidence(kind, 3)
        same = (np.ones_like(x) for x in (given.features, given.source, given.target))
        features, source, target = same
        more = (np.ones_like(features), given.factors, given.factor_names)
        score(Evidence(features, given.y, source, target, *more))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_score_stands_under_its_own_name(path: Path) -> None:
    assert path.read_text().startswith(f"# @package score.{path.stem}\n_target_: aetl.score.")
