"""How far steps, stages and jobs are from their floors (``make bench`` prints the table)."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.bench.table import TRAININGS, fine_tuning, table


@pytest.mark.bench
def test_nothing_costs_more_than_it_may() -> None:
    torch.set_num_threads(1)
    rows = list(table([], pairs=5))
    missed = [f"{r.name}: {r.ratio:.2f}, at most {r.limit}" for r in rows if r.ratio > r.limit]
    assert not missed


@pytest.mark.parametrize("name", ["tiny MLP", "conv VAE"])
def test_what_is_timed_runs(name: str) -> None:
    training = dataclasses.replace(TRAININGS[name][0], steps=2)
    assert min(training.ours(), training.by_hand(), training.by_lightning()) > 0.0


def test_the_fine_tuning_that_is_timed_runs() -> None:
    ours, by_hand = fine_tuning(2)
    assert min(ours(), by_hand()) > 0.0
