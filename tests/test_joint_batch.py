"""What two processes compute of their joint batch is what one computes: what a loss gathers, and
batch norm (values, moments, gradients of first and second order)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from aetl.joint_batch import AWAKE, _done, joint_batch
from aetl.loss.mmd import MMD
from aetl.multirun.backend import start_server
from aetl.rng import Rng
from aetl.stage.joint_norms import joint_norms
from tests.loss.draw import normal


def loss_of(w: Tensor, x: Tensor, rng: Rng) -> Tensor:
    return MMD(weight=1.0, kernel="imq", scales=[1.0])(x @ w, rng)


NORMS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "vectors": (nn.BatchNorm1d(3), (5, 3)),
    "series": (nn.BatchNorm1d(3), (6, 3, 4)),
    "fields": (nn.BatchNorm2d(3), (7, 3, 4, 5)),
    "without weights": (nn.BatchNorm2d(3, affine=False), (4, 3, 2, 2)),
    "without moments": (nn.BatchNorm1d(3, track_running_stats=False), (5, 3)),
    "a mean of all batches": (nn.BatchNorm1d(3, momentum=None), (5, 3)),
    "one rank has nothing": (nn.BatchNorm2d(3), (1, 3, 4, 4)),
    "far from zero": (nn.BatchNorm1d(3), (9, 3)),
}


def given(name: str) -> tuple[nn.Module, Tensor]:
    norm, shape = NORMS[name]
    x = normal(*shape, seed=3).double() + (1e4 if name == "far from zero" else 0.5)
    norm = norm.double()
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 2.0, -1.5]))
            norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return norm, x


def looked_at(norm: nn.Module, x: Tensor, part: slice, twice: bool) -> list[Tensor]:
    """Values and gradients for ``x[part]``; ``twice``: of the first gradient's squares."""
    weights = normal(*x.shape, seed=4).double()[part]
    x = x[part].requires_grad_()
    assert type(norm).__name__.startswith("Joint") == dist.is_initialized()
    y = norm(x)
    loss = (y.tanh() * weights).sum()
    asked = [x, *norm.parameters()]
    gradients = torch.autograd.grad(loss, asked, create_graph=twice)
    if twice:
        gradients = torch.autograd.grad(gradients[0].square().sum(), asked)
    buffers = [b.double().clone() for b in norm.buffers()]
    return [y.detach(), *gradients, *buffers]


def run_rank(rank: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    x, w = normal(5, 3), normal(3, 2, seed=1).requires_grad_()
    value = loss_of(w, x[rank::2], Rng(("k",), rank, 2, 5))
    (value.sum() / 5).backward()
    found: dict[Any, Any] = {"gathered": [value.detach(), w.grad]}
    for name in NORMS:
        for twice in (False, True):
            norm, x = given(name)
            with joint_norms(nn.Sequential(norm)):
                found[name, twice] = looked_at(norm, x, slice(rank, None, 2), twice)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    """What each of two ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    context: Any = start_server(1)
    processes = [context.Process(target=run_rank, args=(rank, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_a_single_process_has_its_own_batch() -> None:
    x = normal(4, 2)
    everyone, own = joint_batch(x)
    assert everyone is x
    assert own == slice(0, 4)


def test_two_ranks_of_unequal_size_sum_to_the_single_process(parts: list[dict[Any, Any]]) -> None:
    x, w = normal(5, 3), normal(3, 2, seed=1).requires_grad_()
    value = loss_of(w, x, Rng(("k",)))
    value.mean().backward()
    for one, a, b in zip([value.detach(), w.grad], *(p["gathered"] for p in parts), strict=True):
        assert one is not None
        both = a.sum() + b.sum() if one is not w.grad else a + b
        torch.testing.assert_close(both, one.sum() if one is not w.grad else one)


def test_batch_norm_of_two_ranks_is_torchs_over_the_joint_batch(
    parts: list[dict[Any, Any]],
) -> None:
    for name in NORMS:
        for twice in (False, True):
            norm, x = given(name)
            one = looked_at(norm, x, slice(None), twice)
            weights = sum(1 for _ in norm.parameters())
            first, second = (part[name, twice] for part in parts)
            for place, (whole, a, b) in enumerate(zip(one, first, second, strict=True)):
                if place < 2:  # values, and the gradient of the examples
                    both = torch.empty_like(whole)
                    both[0::2], both[1::2] = a, b
                elif place < 2 + weights:  # whose sum over the ranks is taken elsewhere
                    both = a + b
                else:  # the running moments
                    assert torch.equal(a, b), name
                    both = a
                assert torch.allclose(both, whole, rtol=1e-7, atol=1e-9), (name, twice, place)


@dataclass
class Work:
    """Of another rank, that has come when it was asked for so often."""

    needs: float
    asked: int = 0
    waited: int = 0

    def is_completed(self) -> bool:
        self.asked += 1
        return self.asked > self.needs

    def wait(self) -> None:
        self.waited += 1


@pytest.mark.parametrize("needs", [0, 3])
def test_a_rank_stays_awake_until_the_other_has_come(needs: int) -> None:
    work = Work(needs)
    _done(work, torch.zeros(1))
    assert (work.asked, work.waited) == (needs + 1, 1)


def test_a_rank_stays_awake_for_a_moment_alone() -> None:
    work, start = Work(math.inf), time.monotonic()
    _done(work, torch.zeros(1))
    assert AWAKE <= time.monotonic() - start < 50 * AWAKE
    assert work.waited == 1


def test_of_a_device_the_host_asks_nothing() -> None:
    work = Work(0)
    _done(work, torch.zeros(1, device="meta"))
    assert (work.asked, work.waited) == (0, 1)
