"""Several processes that run one program: who I am, and how we agree.

With ``trainer=ddp`` every rank runs the whole pipeline. Rank 0 alone decides, writes and logs; the
others follow its decisions. The children are started from the run's saved config, never from the
command line, since replaying a multirun's command line gives each rank other hyper-parameters.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

RANK_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def agree(value: T) -> T:
    """Rank 0's value, on every rank."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def is_child() -> bool:
    """Whether this process was started as a rank of somebody else's run."""
    return os.environ.get("AETL_RANK_OF") is not None


@contextmanager
def process_group(trainer: Any, folder: Path) -> Iterator[None]:
    """The processes of a run: rank 0 starts the others, and all are gone when the block ends."""
    devices = trainer.devices
    if not isinstance(devices, int) or devices <= 1:
        yield
        return
    children: list[subprocess.Popen[bytes]] = []
    if not is_child():
        for name in RANK_VARIABLES:  # of an earlier job in this process, or of a launcher above it
            os.environ.pop(name, None)
        os.environ |= _rank_environment(0, devices, _free_port())
        children = [_start(rank, devices, folder) for rank in range(1, devices)]
    on_gpu = trainer.accelerator in ("gpu", "cuda") or (
        trainer.accelerator == "auto" and torch.cuda.is_available()
    )
    backend = "nccl" if on_gpu else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
        yield
    except BaseException:
        for child in children:
            child.terminate()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for child in children:
            child.wait()
        if not is_child():
            for name in RANK_VARIABLES:
                os.environ.pop(name, None)


def _rank_environment(rank: int, devices: int, port: int | str) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(devices),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _start(rank: int, devices: int, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | _rank_environment(rank, devices, os.environ["MASTER_PORT"])
    environment["AETL_RANK_OF"] = str(folder)
    with open(folder / f"rank{rank}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "aetl.cli", "_rank", str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def use_threads(number: int) -> None:
    """CPU threads of this process: fixed in the config, since sums depend on how they are split."""
    torch.set_num_threads(number)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many of them inside; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
