"""Two processes of gloo's that live on and do one stage after the other, as the ranks of a run."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import aetl
from aetl import ranks
from tests.tiny import World


class Pair:
    """Both ranks do what they are asked; what fails on one of them costs both."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def do(self, folder: Path, overrides: list[str], stage: str, seconds: float = 120) -> Path:
        """The entry that ``stage`` made; ``AssertionError`` with what a rank said instead."""
        if not self.processes:
            self._start()
        order = json.dumps({"folder": str(folder), "overrides": overrides, "stage": stage})
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{order}\n")
            process.stdin.flush()
        try:
            answers = self._answers(seconds)
        except BaseException:
            self.end()
            raise
        return Path(answers[0])

    def _answers(self, seconds: float) -> list[str]:
        """Of whichever rank answers first: one that fails leaves the other waiting."""
        answers: dict[int, str] = {}
        with selectors.DefaultSelector() as selector:
            for rank, process in enumerate(self.processes):
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, rank)
            while len(answers) < len(self.processes):
                ready = selector.select(seconds)
                assert ready, "a rank does not answer"
                for key, _ in ready:
                    line = key.fileobj.readline()  # type: ignore[union-attr]
                    assert line, f"rank {key.data} is gone"
                    said = json.loads(line)
                    assert "error" not in said, f"rank {key.data}: {said['error']}"
                    answers[key.data] = said["path"]
                    selector.unregister(key.fileobj)
        return [answers[rank] for rank in sorted(answers)]

    def _start(self) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        for rank in range(2):
            environment = os.environ | {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                "PYTHONPATH": str(Path(aetl.__file__).parents[1]),
            }  # fmt: skip
            if rank:
                environment[ranks.CHILD_OF] = "a test"
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.conformance.two"], env=environment, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes = []


def serve() -> None:
    import torch.distributed as dist

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed
    dist.init_process_group("gloo", timeout=timedelta(minutes=2))
    worlds: dict[str, World] = {}
    for line in sys.stdin:
        order = json.loads(line)
        try:
            said: dict[str, Any] = {"path": str(_done(worlds, **order))}
        except BaseException as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        answers.write(f"{json.dumps(said)}\n")


def _done(worlds: dict[str, World], folder: str, overrides: list[str], stage: str) -> Path:
    if folder not in worlds:
        worlds[folder] = World(Path(folder))
    return done(worlds[folder].but("trainer=ddp", "trainer.accelerator=cpu", *overrides), stage)


def done(world: World, stage: str) -> Path:
    entry = world.pretrain().entry if stage == "pretrain" else world.transfer()
    assert entry is not None
    return entry.path


if __name__ == "__main__":
    serve()
