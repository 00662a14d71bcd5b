"""The gathered batch of two processes gives the values and gradients of one."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from aetl.joint_batch import joint_batch
from aetl.loss.mmd import MMD
from aetl.rng import Rng
from tests.loss.draw import normal


def loss_of(w: torch.Tensor, x: torch.Tensor, rng: Rng) -> torch.Tensor:
    return MMD(weight=1.0, kernel="imq", scales=[1.0])(x @ w, rng)


def run_rank(rank: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    x, w = normal(5, 3), normal(3, 2, seed=1).requires_grad_()
    value = loss_of(w, x[rank::2], Rng(("k",), rank, 2, 5))
    (value.sum() / 5).backward()
    torch.save((value.detach(), w.grad), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_a_single_process_has_its_own_batch() -> None:
    x = normal(4, 2)
    everyone, own = joint_batch(x)
    assert everyone is x
    assert own == slice(0, 4)


def test_two_ranks_of_unequal_size_sum_to_the_single_process(tmp_path: Path) -> None:
    mp.spawn(run_rank, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    x, w = normal(5, 3), normal(3, 2, seed=1).requires_grad_()
    value = loss_of(w, x, Rng(("k",)))
    value.mean().backward()
    torch.testing.assert_close(parts[0][0].sum() + parts[1][0].sum(), value.detach().sum())
    torch.testing.assert_close(parts[0][1] + parts[1][1], w.grad)
