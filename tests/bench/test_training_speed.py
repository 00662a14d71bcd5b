"""How far steps, stages and jobs are from their floors (``make bench`` prints the table)."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.bench import gpu
from tests.bench.gpu import PRECISIONS
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


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_timed_on_a_gpu_runs_on_a_cpu(precision: str) -> None:
    case = gpu.cases_of(["tiny MLP"], torch.device("cpu"), steps=22)[PRECISIONS.index(precision)]
    assert case.precision == precision
    (row,) = gpu.table([case], rounds=1)
    assert min(row.ours, row.by_hand, row.lightning or 0.0) > 0.0


def test_without_a_gpu_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 0
    assert capsys.readouterr().err.strip() == (
        "bench-gpu: torch finds no GPU here, so nothing was measured"
    )
