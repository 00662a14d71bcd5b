"""How many labels a selector takes out of the budget."""

from __future__ import annotations

import pytest

from aetl.selector.last import Last
from aetl.selector.target_validation import TargetValidation


@pytest.mark.parametrize("labels", [1, 10, 1000])
def test_the_last_state_needs_no_labels(labels: int) -> None:
    assert Last().held_out(labels) == 0


@pytest.mark.parametrize(
    "fraction, labels, held",
    [(0.2, 100, 20), (0.25, 10, 2), (0.2, 3, 1), (0.01, 10, 1), (0.9, 2, 1), (1.0, 10, 9)],
)
def test_target_validation_holds_out_its_fraction(fraction: float, labels: int, held: int) -> None:
    assert TargetValidation(fraction=fraction).held_out(labels) == held


@pytest.mark.parametrize("labels", range(1, 30))
def test_something_is_always_left_to_train_on(labels: int) -> None:
    assert 0 <= TargetValidation(fraction=0.97).held_out(labels) < labels
