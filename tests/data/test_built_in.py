"""Sets that are made on the spot or read from a known layout, and what is said where one lacks."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn import datasets
from sklearn.datasets import dump_svmlight_file

from aetl.data.shifted import CENTRE, CLUSTERS, GAMMA
from aetl.data.sprites import FACTORS, drawn
from aetl.types import UserError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes"])
def test_tables_are_those_of_scikit_learn(build, name: str) -> None:
    pool, _ = build(name).read()
    bunch = getattr(datasets, f"load_{name}")()
    np.testing.assert_allclose(pool.x, bunch.data, rtol=1e-6)
    np.testing.assert_allclose(pool.y, bunch.target)
    assert list(pool.columns) == list(bunch.feature_names)
    assert (pool.classes == ()) == (name == "diabetes")


def test_amazon_reads_the_layout_of_its_files(build, tmp_path: Path) -> None:
    folder = tmp_path / "AmazonReviews"
    folder.mkdir()
    x = (RNG.random((8, 5000)) < 0.01).astype(int)
    for part in ("train", "test"):
        labels = np.arange(8) % 2 * 2 - 1
        dump_svmlight_file(x, labels, str(folder / f"dvd_{part}.svmlight"), zero_based=True)
    train, test = build("amazon", data_dir=str(tmp_path), domain="dvd").load()
    np.testing.assert_array_equal(train.inputs(), x)
    assert train.y.tolist() == test.y.tolist() == [0, 1] * 4
    assert train.classes == ("bad", "good")


def test_adbench_finds_a_table_by_its_name_alone(build, tmp_path: Path) -> None:
    (tmp_path / "ADBench").mkdir()
    x, y = RNG.normal(size=(20, 3)), np.arange(20) % 5 == 0
    np.savez(tmp_path / "ADBench" / "6_cardio.npz", X=x, y=y.astype(int))
    for name in ("cardio", "6_cardio"):
        pool, _ = build("adbench", data_dir=str(tmp_path), name=name).read()
        np.testing.assert_allclose(pool.x, x, rtol=1e-6)
        assert pool.y.sum() == 4
    with pytest.raises(UserError, match="did you mean 'cardio'"):
        build("adbench", data_dir=str(tmp_path), name="cardoi").read()


@pytest.mark.parametrize(
    "name, keys, missing, way",
    [
        ("amazon", {}, "books_train.svmlight", "GitHub"),
        ("adbench", {}, "cardio.npz", "GitHub"),
    ],
)
def test_a_set_that_is_not_there_says_what_where_and_how(
    build, tmp_path: Path, name: str, keys: Any, missing: str, way: str
) -> None:
    with pytest.raises(UserError) as caught:
        build(name, data_dir=str(tmp_path / "no"), **keys).load()
    line = str(caught.value)
    assert missing in line
    assert str(tmp_path / "no") in line
    assert way in line
    assert "AETL_DATA_DIR" in line
    assert "\n" not in line


def shifted(build: Any, form: str, domain: str, **keys: Any) -> tuple[np.ndarray, np.ndarray]:
    pool, _ = build("shifted", form=form, domain=domain, **({"number": 4000} | keys)).read()
    return pool.x.numpy().astype(float), pool.y.numpy()


def test_covariate_shift_is_the_weight_that_it_says(build) -> None:
    """A mean over the target is the weighted mean over the source."""
    source, y_source = shifted(build, "covariate", "source", number=200_000)
    target, y_target = shifted(build, "covariate", "target", number=4000)
    weight = np.exp(-GAMMA * ((source - CENTRE) ** 2).sum(1))
    near = np.average(source, axis=0, weights=weight)
    np.testing.assert_allclose(target.mean(0), near, atol=0.05)
    np.testing.assert_allclose(y_target.mean(), np.average(y_source, weights=weight), atol=0.05)
    assert abs(source.mean(0) - target.mean(0)).max() > 0.5


def test_label_shift_changes_how_many_and_not_where(build) -> None:
    source, y_source = shifted(build, "label", "source")
    target, y_target = shifted(build, "label", "target")
    assert (y_source.mean(), y_target.mean()) == (0.5, pytest.approx(0.1))
    for k in (0, 1):
        np.testing.assert_allclose(
            source[y_source == k].mean(0), target[y_target == k].mean(0), atol=0.3
        )
    # The second class is the mixture of its four Gaussians, widened by the noise.
    second = source[y_source == 1]
    density = np.mean([
        multivariate_normal(mean, root.T @ root + 0.16 * np.eye(2)).pdf(second)
        for root, mean in CLUSTERS
    ], axis=0)  # fmt: skip
    wrong = np.mean([
        multivariate_normal(mean + 0.3, root.T @ root + 0.16 * np.eye(2)).pdf(second)
        for root, mean in CLUSTERS
    ], axis=0)  # fmt: skip
    assert np.log(density).mean() > np.log(wrong).mean() + 0.05


def test_concept_shift_is_an_affine_map(build) -> None:
    source, y_source = shifted(build, "concept", "source", number=40_000)
    target, y_target = shifted(build, "concept", "target", number=40_000)
    for k in (0, 1):
        one, other = 0.7 * source[y_source == k] + 1, target[y_target == k]
        np.testing.assert_allclose(one.mean(0), other.mean(0), atol=0.03)
        np.testing.assert_allclose(np.cov(one.T), np.cov(other.T), atol=0.05)


def test_subspace_shift_leaves_one_direction_alone(build) -> None:
    source, y_source = shifted(build, "subspace", "source")
    target, y_target = shifted(build, "subspace", "target")
    along, across = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    for points, y in ((source, y_source), (target, y_target)):
        # The same rule along the shared direction is right in both domains.
        assert ((np.abs(points @ along) < 0.75) == y).mean() > 0.93
    assert ((source @ across > 0) == y_source).mean() > 0.95
    assert ((target @ across > 0) == y_target).mean() < 0.05


def test_domains_and_seeds_of_shifted_points_differ_and_repeat(build) -> None:
    one, _ = shifted(build, "label", "source")
    again, _ = shifted(build, "label", "source")
    other, _ = shifted(build, "label", "source", data_seed=1)
    target, _ = shifted(build, "concept", "target")
    np.testing.assert_array_equal(one, again)
    points = set(map(tuple, one.tolist()))
    assert not points & set(map(tuple, other.tolist()))
    assert not points & set(map(tuple, target.tolist()))


def test_mnist1d_is_the_package_s_and_leaves_the_global_sources_alone(build) -> None:
    data = pytest.importorskip("mnist1d.data")
    args = data.get_dataset_args()
    args.num_samples = 100
    np.random.seed(3)  # noqa: NPY002
    pool, test = build("mnist1d", number=100).read()
    drawn_after = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert drawn_after == np.random.rand()  # noqa: NPY002
    made = data.make_dataset(args)
    np.testing.assert_allclose(pool.x[:, 0], made["x"], rtol=1e-6)
    np.testing.assert_array_equal(test.y, made["y_test"])
    assert pool.kind == "series"


def test_shuffled_series_have_the_same_values_in_another_order(build) -> None:
    pytest.importorskip("mnist1d")
    plain, _ = build("mnist1d", number=50).read()
    mixed, _ = build("mnist1d", number=50, shuffled=True).read()
    assert not np.allclose(plain.x, mixed.x)
    np.testing.assert_allclose(plain.x.sort(2)[0], mixed.x.sort(2)[0], atol=1e-5)


def test_sprites_are_different_and_know_their_factors(build) -> None:
    pool, _ = build("sprites", number=300, side=16).read()
    assert len(np.unique(pool.factors, axis=0)) == 300
    assert pool.reading["factors"] == list(FACTORS)
    assert pool.y.tolist() == pool.factors[:, 0].tolist()
    assert (pool.factors.max(0) < list(FACTORS.values())).all()
    other, _ = build("sprites", number=300, side=16, target="x").read()
    np.testing.assert_allclose(other.y, pool.factors[:, 3] / 31, rtol=1e-6)
    rows = np.array([5, 2])
    np.testing.assert_array_equal(pool.subset(rows).factors, pool.factors[rows])


def test_each_factor_does_what_its_name_says() -> None:
    plain = np.array([[0, 2, 0, 16, 16]])

    def picture(side: int = 64, **changes: int) -> np.ndarray:
        values = plain.copy()
        for name, value in changes.items():
            values[0, list(FACTORS).index(name)] = value
        return drawn(values, side)[0].astype(float)

    def middle(image: np.ndarray) -> np.ndarray:
        v, u = np.mgrid[:64, :64]
        return np.array([(u * image).sum(), (v * image).sum()]) / image.sum()

    # A step of x or y is 1 / 31 of the half side, 32 pixels.
    np.testing.assert_allclose(
        middle(picture(x=26)) - middle(picture()), [10 * 1 / 31 * 32, 0], atol=0.05
    )
    np.testing.assert_allclose(
        middle(picture(y=26)) - middle(picture()), [0, 10 * 1 / 31 * 32], atol=0.05
    )
    areas = [picture(256, size=size).sum() / 255 for size in range(6)]
    wanted = [(2 * 0.9 * (0.15 + 0.03 * size) * 128) ** 2 for size in range(6)]
    np.testing.assert_allclose(areas, wanted, rtol=0.02)
    ellipse = picture(256, shape=1).sum() / 255
    np.testing.assert_allclose(ellipse, np.pi * 1.3 / 2 * (0.21 * 128) ** 2, rtol=0.02)
    # A quarter turn maps a square onto itself, an eighth does not.
    assert np.abs(picture(angle=10) - picture()).mean() < 0.1
    assert np.abs(picture(angle=5) - picture()).mean() > 1
    corners = np.array(list(product(range(3), [5], (0, 5), (0, 31), (0, 31))))
    images = drawn(corners, 64)
    assert not images[:, [0, -1]].any()
    assert not images[:, :, [0, -1]].any()
