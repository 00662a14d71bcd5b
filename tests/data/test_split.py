"""Splits: stratified at every length, nested over budgets, the same bytes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.data.base import Examples
from aetl.data.split import Split, make_split
from aetl.data.stratify import _sorted_by, held_groups, stratified_order
from aetl.rng import Rng
from aetl.types import UserError

labels = st.lists(st.integers(0, 4), min_size=1, max_size=80)


def examples(y: Any, classes: tuple[str, ...]) -> Examples:
    x = torch.arange(len(y) * 2, dtype=torch.float32).reshape(-1, 2)
    return Examples.of(x, torch.as_tensor(y), classes)


def letters(y: list[int]) -> Examples:
    return examples(np.array(y, np.int64), tuple("abcde"))


def split(of: Examples, **keys: Any) -> Split:
    return make_split(
        of, **({"validation_fraction": 0.1, "budget": 10, "per_class": False, "seed": 0} | keys)
    )


@settings(deadline=None)
@given(labels, st.integers(0, 9))
def test_every_prefix_of_the_order_is_stratified(y: list[int], seed: int) -> None:
    order = stratified_order(torch.tensor(y), Rng.of(seed), tuple("abcde"))
    assert sorted(order.tolist()) == list(range(len(y)))
    counts = np.bincount(y, minlength=5)
    present = (counts > 0).sum()
    seen = np.zeros(5)
    for length, row in enumerate(order, start=1):
        seen[y[row]] += 1
        assert (seen <= length * counts / len(y) + 1 + 1e-9).all()
        assert (seen >= (length - present) * counts / len(y) - 1e-9).all()
    assert len({y[row] for row in order[:present]}) == present


def test_the_classes_of_a_prefix_are_not_the_first_ones() -> None:
    y = torch.arange(10).repeat(20)
    first = {
        int(y[stratified_order(y, Rng.of(seed), tuple("abcdefghij"))[0]]) for seed in range(60)
    }
    assert len(first) >= 8


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=10, max_size=60), st.integers(0, 9))
def test_regression_targets_are_stratified_by_their_ranks(y: list[float], seed: int) -> None:
    """One of each tenth by rank first: so the sorted prefix follows the sorted whole."""
    order = stratified_order(torch.tensor(y), Rng.of(seed), ())
    assert sorted(order.tolist()) == list(range(len(y)))
    values = np.sort(np.array(y, np.float32))
    first = np.sort(np.array(y, np.float32)[order[:10]])
    edges = [-(-k * len(y) // 10) for k in range(11)]
    for k in range(10):
        assert values[edges[k]] <= first[k] <= values[edges[k + 1] - 1]


def test_unlabelled_examples_are_ordered_at_random() -> None:
    order = stratified_order(torch.full((50,), -1), Rng.of(0), ())
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != sorted(order.tolist())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 4), min_size=20, max_size=80),
    st.floats(0, 0.5),
    st.integers(0, 9),
)
def test_the_parts_are_disjoint_and_complete(y: list[int], fraction: float, seed: int) -> None:
    found = split(letters(y), validation_fraction=fraction, budget=5, seed=seed)
    assert len(found.validation) == round(fraction * len(y))
    assert sorted([*found.train, *found.validation]) == list(range(len(y)))
    assert sorted([*found.labelled, *found.unlabelled]) == found.train.tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=20, max_size=80), st.integers(1, 9), st.integers(1, 9))
def test_smaller_budgets_are_prefixes_of_larger_ones(y: list[int], a: int, b: int) -> None:
    few, many = (split(letters(y), budget=budget) for budget in sorted((a, b)))
    assert many.labelled[: len(few.labelled)].tolist() == few.labelled.tolist()
    assert few.validation.tolist() == many.validation.tolist()
    everything = split(letters(y), budget="all")
    assert everything.labelled[: len(many.labelled)].tolist() == many.labelled.tolist()


def test_budgets_at_random_are_nested_and_hold_the_classes_as_they_come() -> None:
    pool = letters([0] * 60 + [1] * 20 + [2] * 10 + [3] * 6 + [4] * 4)
    counts, lacking = np.zeros(5), 0
    for seed in range(300):
        few, many = (split(pool, budget=n, stratified=False, seed=seed) for n in (5, 20))
        assert many.labelled[:5].tolist() == few.labelled.tolist()
        assert few.validation.tolist() == split(pool, seed=seed).validation.tolist()
        assert set(few.labelled) <= set(few.train)
        of_few = np.bincount(pool.y[few.labelled], minlength=5)
        counts += of_few
        lacking += (of_few == 0).any()
    # 5 of 100 in each draw: the share of a class is its own, and nearly never all have one.
    share = np.array([0.6, 0.2, 0.1, 0.06, 0.04])
    assert (np.abs(counts / 1500 - share) < 4 * np.sqrt(share * (1 - share) / 1500) + 0.01).all()
    assert lacking > 250
    stratified = split(pool, budget=5).labelled
    assert (np.bincount(pool.y[stratified], minlength=5) == 1).all()


def test_a_budget_of_each_class_is_not_at_random() -> None:
    with pytest.raises(UserError, match="stratified=false: with per_class=true"):
        split(letters([0, 1, 2, 3, 4] * 9), budget=2, per_class=True, stratified=False)


def test_budgets_per_class_are_nested_and_exact() -> None:
    pool = letters([0] * 40 + [1] * 20 + [2] * 10 + [3] * 15 + [4] * 12)
    few, many = (split(pool, budget=n, per_class=True).labelled for n in (2, 6))
    assert many[:10].tolist() == few.tolist()
    assert torch.bincount(pool.y[few]).tolist() == [2] * 5
    assert torch.bincount(pool.y[many]).tolist() == [6] * 5


def test_ten_labels_of_ten_classes_are_one_of_each(build) -> None:
    pool, _ = build("digits").load()
    for seed in range(5):
        assert len(set(pool.y[split(pool, seed=seed).labelled].tolist())) == 10


def test_seeds_give_other_splits_and_the_same_seed_the_same() -> None:
    pool = letters([0, 1, 2, 3, 4] * 20)
    first, again, other = (split(pool, seed=seed).labelled.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_with_one_example_is_trained_on() -> None:
    found = split(letters([0] * 99 + [1]), validation_fraction=0.5)
    assert 99 in found.labelled


def test_unlabelled_pools_have_no_labelled_rows() -> None:
    found = split(examples(np.full(20, -1), ()), budget=5)
    assert len(found.labelled) == 0
    assert found.unlabelled.tolist() == found.train.tolist()


def test_a_budget_beyond_the_pool_names_both_numbers() -> None:
    with pytest.raises(UserError, match="budget=100: there are only 18 training examples"):
        split(letters([0, 1] * 10), budget=100)


def test_a_budget_beyond_the_scarcest_class_names_it() -> None:
    pool = letters([0] * 30 + [1] * 3 + [2] * 30 + [3] * 30 + [4] * 30)
    with pytest.raises(UserError, match="budget=9 per class: class 'b' has only 3"):
        split(pool, budget=9, per_class=True)


def test_a_budget_per_class_of_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="per_class=true: needs classes"):
        split(examples(np.linspace(0, 1, 30, dtype=np.float32), ()), per_class=True)


def test_a_validation_part_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="validation_fraction=0.9: leaves no"):
        split(letters([0, 1]), validation_fraction=0.9, budget=1)


def test_a_saved_split_is_read_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    found = split(letters([0, 1, 2, 3, 4] * 20))
    found.save(tmp_path / "a.npz")
    found.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    back = Split.load(tmp_path / "a.npz")
    for name in ("train", "validation", "labelled", "unlabelled"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))


def test_a_cut_off_split_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    split(letters([0, 1] * 20)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"a\.npz: is not a saved split"):
        Split.load(path)


def test_a_group_that_brings_the_held_part_no_nearer_stays_in_training() -> None:
    """Of 8 wanted and 6 held, 4 more would overshoot by as much as is lacking now."""
    group = np.repeat([0, 1, 2], [6, 4, 6])
    assert held_groups(group, 0.5).tolist() == [True] * 6 + [False] * 10


def test_of_groups_that_are_all_too_large_the_smallest_is_held_out() -> None:
    group = np.repeat([0, 1, 2], [40, 30, 30])
    held = held_groups(group, 0.01)
    assert set(group[held]) == {1}


@pytest.mark.parametrize("counts", [[50, 50], [7, 7, 7], [31, 17, 1], [200, 100, 50, 3], [9]])
def test_the_order_is_that_of_fractions_and_of_ties_among_equals(counts: list[int]) -> None:
    """As NumPy's sort by two keys has it, which takes several times as long."""
    fraction = np.concatenate([np.arange(n) / n for n in counts])
    ties = np.random.default_rng(0).permutation(len(fraction))
    assert np.array_equal(_sorted_by(fraction, ties), np.lexsort((ties, fraction)))
