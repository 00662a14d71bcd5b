"""Schedules of the learning rate against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from aetl.config import compose
from aetl.stage.fit import Fit
from aetl.stage.schedule import Constant, Cosine, InverseDecay


def test_constant_is_one_throughout() -> None:
    assert [Constant().at(p) for p in (0.0, 0.3, 1.0)] == [1.0, 1.0, 1.0]


def test_cosine_without_warm_up_equals_torchs_annealing() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    ours = Cosine(warmup=0.0, floor=0.1)
    for step in range(51):
        assert ours.at(step / 50) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_warm_up_rises_linearly_and_the_rest_falls_to_the_floor() -> None:
    schedule = Cosine(warmup=0.2, floor=0.05)
    assert schedule.at(0.05) == pytest.approx(0.25)
    assert schedule.at(0.1) == pytest.approx(0.5)
    assert schedule.at(0.2) == pytest.approx(1.0)
    assert schedule.at(0.6) == pytest.approx(0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert schedule.at(1.0) == schedule.at(1.1) == pytest.approx(0.05)


def test_inverse_decay_is_by_default_that_of_the_adversarial_papers() -> None:
    """``mu_p = mu_0 / (1 + 10 p)^0.75``: half-way 6^-0.75, at the end 11^-0.75."""
    node = compose(["scheduler=inverse_decay"]).scheduler
    schedule = InverseDecay(alpha=node.alpha, beta=node.beta)
    assert schedule.at(0.0) == 1.0
    assert schedule.at(0.5) == pytest.approx(0.26084743)
    assert schedule.at(1.0) == pytest.approx(0.16556002)


@pytest.mark.parametrize(
    "epochs, min_steps, max_steps, batches, accumulate, steps",
    [
        (20, 0, None, 11, 1, 220),
        (20, 600, None, 11, 1, 600),  # at least
        (20, 600, 5, 11, 1, 5),  # at most, and that wins
        (3, 0, None, 11, 4, 9),  # the rest of an epoch is a step too
        (3, 0, None, 2, 4, 3),
    ],
)
def test_total_steps(
    epochs: int, min_steps: int, max_steps: int | None, batches: int, accumulate: int, steps: int
) -> None:
    fit = Fit(epochs=epochs, min_steps=min_steps, max_steps=max_steps, batch_size=8, lr=0.1)
    assert fit.total_steps(batches, accumulate) == steps
