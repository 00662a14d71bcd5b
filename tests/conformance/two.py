"""Two processes of gloo's that live on and do one stage after the other, as the ranks of a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from aetl import ranks
from aetl.multirun.backend import start_server
from tests.tiny import World


class Pair:
    """Both ranks do what they are asked; what fails on one of them costs both."""

    def __init__(self) -> None:
        self.processes: list[BaseProcess] = []
        self.connections: list[Connection] = []

    def do(self, folder: Path, overrides: list[str], stage: str, seconds: float = 120) -> Path:
        """The entry that ``stage`` made; ``AssertionError`` with what a rank said instead."""
        if not self.processes:
            self._start()
        for connection in self.connections:
            connection.send({"folder": str(folder), "overrides": overrides, "stage": stage})
        try:
            answers = self._answers(seconds)
        except BaseException:
            self.end()
            raise
        return Path(answers[0])

    def _answers(self, seconds: float) -> list[str]:
        """Of whichever rank answers first: one that fails leaves the other waiting."""
        answers: dict[int, str] = {}
        while len(answers) < len(self.connections):
            left = [c for rank, c in enumerate(self.connections) if rank not in answers]
            ready = wait(left, seconds)
            assert ready, "a rank does not answer"
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = self.connections.index(connection)
                try:
                    said = connection.recv()
                except EOFError:
                    raise AssertionError(f"rank {rank} is gone") from None
                assert "error" not in said, f"rank {rank}: {said['error']}"
                answers[rank] = said["path"]
        return [answers[rank] for rank in sorted(answers)]

    def _start(self) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        context: Any = start_server(1)
        for rank in range(2):
            environment = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
            if rank:
                environment[ranks.CHILD_OF] = "a test"
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, environment))
            process.start()
            there.close()
            self.processes.append(process)
            self.connections.append(here)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self.processes, self.connections = [], []


def serve(orders: Connection, environment: Mapping[str, str]) -> None:
    import torch.distributed as dist

    os.environ.update(environment)
    dist.init_process_group("gloo", timeout=timedelta(minutes=2))
    worlds: dict[str, World] = {}
    while True:
        try:
            said: dict[str, Any] = {"path": str(_done(worlds, **orders.recv()))}
        except EOFError:
            return
        except BaseException as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        orders.send(said)


def _done(worlds: dict[str, World], folder: str, overrides: list[str], stage: str) -> Path:
    if folder not in worlds:
        worlds[folder] = World(Path(folder))
    return done(worlds[folder].but("trainer=ddp", "trainer.accelerator=cpu", *overrides), stage)


def done(world: World, stage: str) -> Path:
    entry = world.pretrain().entry if stage == "pretrain" else world.transfer()
    assert entry is not None
    return entry.path
