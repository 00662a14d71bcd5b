"""Sparse vectors: as scikit-learn reads them, sparse until a batch is made, refused by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import dump_svmlight_file

from aetl.data.base import Examples, identity_of
from aetl.data.loader import Loader
from aetl.data.sparse import parts_of
from aetl.rng import Rng
from aetl.stage import read_once
from aetl.store.store import Store
from aetl.types import UserError

RNG = np.random.default_rng(0)
N, D = 40, 12
DENSE = (RNG.integers(1, 9, (N, D)) * (RNG.random((N, D)) < 0.3)).astype(np.float32)
Y = np.arange(N) % 2


@pytest.fixture
def path(tmp_path: Path) -> str:
    dump_svmlight_file(DENSE, Y, str(tmp_path / "own.svm"), zero_based=False)
    return str(tmp_path / "own.svm")


def test_rows_and_labels_are_those_of_the_file(build, path: str) -> None:
    pool, _ = build("svmlight", path=path, columns=D).read()
    assert pool.x.is_sparse
    np.testing.assert_array_equal(pool.x.to_dense(), DENSE)
    assert pool.y.tolist() == Y.tolist()
    assert pool.kind == "vector"
    assert pool.shape == (D,)


def test_batches_and_inputs_are_the_dense_rows(build, path: str) -> None:
    pool, _ = build("svmlight", path=path, columns=D).read()
    rows = np.array([7, 3, 3, 0])
    np.testing.assert_array_equal(pool.inputs(rows), DENSE[rows])
    np.testing.assert_array_equal(pool.subset(rows).inputs(), DENSE[rows])
    assert pool.subset(rows).x.is_sparse
    loader = Loader(pool, np.arange(N), batch_size=16, rng=Rng.of(0), shuffle=True)
    for batch in loader:
        np.testing.assert_array_equal(batch.x, DENSE[batch.index])


def test_equal_rows_have_one_identity_and_others_another(build, path: str) -> None:
    pool, test = build("svmlight", path=path, columns=D).load()
    everything = torch.cat([pool.x, test.x]).coalesce()
    different = len(np.unique(everything.to_dense().numpy(), axis=0))
    assert len(set(identity_of(everything).tolist())) == different
    assert pool.fingerprint() != test.fingerprint()


def test_sparse_vectors_are_the_same_from_the_store(build, path: str, tmp_path: Path) -> None:
    data = build("svmlight", path=path, columns=D)
    store = Store(dir=str(tmp_path / "store"), reuse=True)
    for _ in range(2):
        kept, _ = read_once.load(data, store, tmp_path)
        plain, _ = data.load()
        assert kept.fingerprint() == plain.fingerprint()
        for one, other in zip(parts_of(kept.x), parts_of(plain.x), strict=True):
            assert torch.equal(one, other)


def test_counts_stay_sparse_under_log1p_and_other_scales_are_refused(build, path: str) -> None:
    pool, _ = build("svmlight", path=path, columns=D, scale="log1p").load()
    assert pool.x.is_sparse
    plain, _ = build("svmlight", path=path, columns=D).load()
    np.testing.assert_allclose(pool.inputs(), plain.inputs().log1p(), rtol=1e-6)
    for method in ("standard", "sample", "whiten"):
        with pytest.raises(UserError, match="would be dense"):
            build("svmlight", path=path, scale=method).load()


@pytest.mark.parametrize(
    "text, keys, said",
    [
        ("", {}, "is empty"),
        ("1 1:2 x\n", {}, "line 1 is no"),
        ("1 1:2\n0 b:2\n", {}, "line 2 is no"),
        ("1 1:2\n0 2:nan\n", {}, "line 2 holds NaN"),
        ("1 1:2\n0 3:1 2:1\n", {}, "line 2 names a column twice, or not in order"),
        ("1 1:2\n0 9:1\n", {"columns": 4}, "names column 9 in row 1, and there are 4"),
        ("1 1:2\n0 1\n", {}, "line 2 is no list"),
        ("1 1.5:2\n", {}, "line 1 is no list"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_line(
    build, tmp_path: Path, text: str, keys: Any, said: str
) -> None:
    (tmp_path / "own.svm").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        build("svmlight", path=str(tmp_path / "own.svm"), **keys).read()
    assert "\n" not in str(caught.value)


def test_the_test_file_has_the_columns_of_the_training_file(build, path: str, tmp_path) -> None:
    (tmp_path / "test.svm").write_text("1 2:5\n0 1:1 # a remark\n")
    pool, test = build("svmlight", path=path, test_path=str(tmp_path / "test.svm")).read()
    assert test.shape == pool.shape
    assert isinstance(test, Examples)
    assert test.inputs()[0, 1] == 5
    (tmp_path / "test.svm").write_text("1 99:5\n")
    with pytest.raises(UserError, match=r"test\.svm: names column 99 in row 0"):
        build("svmlight", path=path, test_path=str(tmp_path / "test.svm")).read()
