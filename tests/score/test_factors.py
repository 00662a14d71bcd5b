"""Scores of disentanglement against scikit-learn and SciPy, and where their answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, linregress
from sklearn.metrics import mutual_info_score

from aetl.files import read_json
from aetl.score.base import Evidence
from aetl.score.dci import DCI, purity
from aetl.score.factors import FactorScore, gap
from aetl.score.mig import MIG
from aetl.score.sap import SAP
from tests.model.runs import done

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(0, n, 1500) for n in (3, 5, 8)], 1)
NAMES = ("shape", "x", "y")
SCORES: list[FactorScore] = [
    MIG(bins=20), SAP(categories=[]), DCI(part="disentanglement", trees=20, seed=0),
    DCI(part="completeness", trees=20, seed=0),
]  # fmt: skip


def given(codes: np.ndarray) -> Evidence:
    none = np.zeros((0, codes.shape[1]))
    return Evidence(codes, np.arange(len(codes)) % 2, none, none, codes, FACTORS, NAMES)


def test_the_gap_of_mutual_information_is_that_of_scikit_learn() -> None:
    codes = FACTORS @ RNG.normal(size=(3, 4)) + 0.3 * RNG.normal(size=(1500, 4))
    shares = np.zeros((4, 3))
    for j in range(4):
        cut = np.digitize(codes[:, j], np.histogram(codes[:, j], 20)[1][1:-1])
        for k in range(3):
            own = mutual_info_score(FACTORS[:, k], FACTORS[:, k])
            shares[j, k] = mutual_info_score(cut, FACTORS[:, k]) / own
    ranked = np.sort(shares, 0)
    assert MIG(bins=20)(given(codes)) == pytest.approx((ranked[-1] - ranked[-2]).mean(), abs=1e-12)


def test_a_straight_line_s_lead_is_that_of_scipy() -> None:
    codes = FACTORS @ RNG.normal(size=(3, 4)) + RNG.normal(size=(1500, 4))
    squares = np.array([[linregress(c, f).rvalue ** 2 for f in FACTORS.T] for c in codes.T])
    ranked = np.sort(squares, 0)
    found = SAP(categories=[])(given(codes))
    assert found == pytest.approx((ranked[-1] - ranked[-2]).mean(), rel=1e-10)
    # A code that is the shape by two thresholds, which no line tells apart.
    shape = np.where(FACTORS[:, 0] == 2, 1.0, np.where(FACTORS[:, 0] == 1, -1.0, -1.0))
    codes = np.stack([shape, RNG.normal(size=1500)], 1)
    only = Evidence(codes, FACTORS[:, 0], codes[:0], codes[:0], codes, FACTORS[:, :1], ("shape",))
    assert 0.2 < SAP(categories=["shape"])(only) < 0.45  # 2/3 against 1/3


def test_purity_is_one_minus_the_entropy() -> None:
    importance = RNG.random((6, 4))
    total = importance.sum(1)
    wanted = np.average([1 - entropy(row, base=4) for row in importance], weights=total)
    assert purity(importance) == pytest.approx(wanted)
    assert purity(np.eye(4)) == pytest.approx(1)
    assert purity(np.ones((3, 4))) == pytest.approx(0)
    assert gap(np.array([[0.9, 0.2], [0.4, 0.2]])) == pytest.approx(0.25)


@pytest.mark.parametrize("score", SCORES, ids=["mig", "sap", "disentanglement", "completeness"])
def test_codes_that_are_the_factors_beat_turned_ones(score: FactorScore) -> None:
    spread = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    own = score(given(spread + 1e-3 * RNG.normal(size=spread.shape)))
    assert own > 0.9
    assert score(given(spread @ turn)) < 0.7 * own
    assert np.isnan(score(Evidence(spread, FACTORS[:, 0], spread[:0], spread[:0])))


def test_sprites_have_scores_of_disentanglement(tmp_path: Path) -> None:
    sets = [f"dataset@{side}=sprites" for side in ("source", "target")]
    small = ["source.number=200", "target.number=200", "source.size=null", "target.size=null"]
    run = done(tmp_path, *sets, *small, "target.shift.rotation=0.0", "score=[mig,sap,dci,logme]")
    found = read_json(run / "run.json")["transferability"]["scores"]
    assert {"mig", "sap", "dci"} <= found.keys()
    assert all(0 <= found[name] <= 1 for name in ("mig", "sap", "dci"))
