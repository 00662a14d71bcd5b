"""Ranks that torchrun, or srun of Slurm, started: on one node or on several.

Each of them was given the same command line. Rank 0 alone does what it says; it tells the others
its folder (by a ``TCPStore`` at the launcher's address), and they do the run that is saved there,
as the ranks do that a run starts itself. Nobody can look after a process of another node, so each
rank writes a heartbeat into the store.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

SECONDS_TO_APPEAR = 30.0
"""How long rank 0's folder may take to be seen on a shared disk."""
SECONDS_TO_MEET = 300.0
"""How long the ranks wait for each other at their start."""
SECONDS_TO_HEAR = 20.0
"""How long rank 0 waits until the others have heard that nothing begins."""
_FOLDER, _HEARD, _BEAT, _GONE = "aetl/folder", "aetl/heard", "aetl/beat", b"gone"


class NotAsLaunched(Exception):
    """What the launcher started and what the config asks for do not fit together."""

    of_user = True  # aetl.types has a class for it, and torch


@dataclass(frozen=True)
class Launched:
    """Who this process is among those that a launcher started."""

    by: str
    rank: int
    world: int
    local_rank: int
    local_world: int
    node: int
    address: str
    port: int

    @property
    def nodes(self) -> int:
        return self.world // self.local_world

    def enter(self) -> None:
        """Set what torch and Lightning go by. Without ``SLURM_NTASKS`` Lightning takes srun's ranks
        as it takes others, and does not requeue the job by itself."""
        os.environ.pop("SLURM_NTASKS", None)
        os.environ |= {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.local_rank),
            "NODE_RANK": str(self.node),
            "WORLD_SIZE": str(self.world),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }

    def refuse_other_sizes(self, devices: int | None, num_nodes: int) -> None:
        """``NotAsLaunched`` where the config has another number of processes (None: any)."""
        if devices is None or (devices, num_nodes) == (self.local_world, self.nodes):
            return
        raise NotAsLaunched(
            f"trainer.devices={devices} trainer.num_nodes={num_nodes}: {self.by} has started "
            f"{self.local_world} processes on each of {self.nodes} nodes (trainer.devices=auto "
            "takes what it finds)"
        )

    @cached_property
    def store(self) -> Any:
        """The store that all ranks share; torchrun keeps one itself, else rank 0 does."""
        store = self.connected(SECONDS_TO_MEET)
        store.set_timeout(timedelta(days=1))  # what rank 0 does first may take long
        return store

    def connected(self, timeout: float) -> Any:
        """A connection to the store, whose calls wait so many seconds."""
        from torch.distributed import DistError
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import TCPStore  # type: ignore[attr-defined]

        kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        serves = self.rank == 0 and not kept and "store" not in self.__dict__
        wait = timedelta(seconds=timeout)
        try:
            store = TCPStore(self.address, self.port, None, serves, wait, wait_for_workers=False)
        except DistError as error:
            what = f"{self.by}: no word from rank 0 at {self.address}:{self.port}"
            raise NotAsLaunched(f"{what} ({str(error).splitlines()[0]})") from None
        return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)

    def rendezvous(self) -> dict[str, Any]:
        """Where torch's process group meets."""
        from torch.distributed.distributed_c10d import PrefixStore

        store = PrefixStore("group", self.store)
        return {"store": store, "rank": self.rank, "world_size": self.world}

    def announce(self, folder: Path | None) -> None:
        """Rank 0's folder to the others; None where it has ended before it began."""
        self.store.set(_FOLDER, "" if folder is None else str(folder.resolve()))
        end = time.monotonic() + SECONDS_TO_HEAR
        while folder is None and time.monotonic() < end:
            if self.store.add(_HEARD, 0) == self.world - 1:
                return
            time.sleep(0.1)

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Of rank 0: an error in the block, before it has announced anything, is announced."""
        self.store  # noqa: B018, from now on the others find it
        try:
            yield
        except BaseException:
            if not self.store.check([_FOLDER]):
                self.announce(None)
            raise

    def followed(self) -> Path:
        """The folder that rank 0 has announced; it is waited for."""
        import torch.distributed as dist

        try:
            announced = self.store.get(_FOLDER).decode()
            self.store.add(_HEARD, 1)
        except dist.DistError:
            announced = ""
        if not announced:
            raise NotAsLaunched(f"{self.by}: rank 0 has ended before it began; its line says why")
        folder = Path(announced)
        end = time.monotonic() + SECONDS_TO_APPEAR
        while not (folder / "config.yaml").exists():
            if time.monotonic() > end:
                raise NotAsLaunched(
                    f"{folder}: rank 0's folder is not seen on {socket.gethostname()}; output_dir "
                    "must be on a disk that all nodes share"
                )
            time.sleep(0.2)
        return folder


@cache
def launched() -> Launched | None:
    """As what this process was started by torchrun or srun; None if by neither, or alone."""
    return launched_by(os.environ)


def launched_by(environment: Mapping[str, str]) -> Launched | None:
    """The same by the variables that they set."""
    if "TORCHELASTIC_RUN_ID" in environment:
        found = _by_torchrun(environment)
    elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        found = _by_srun(environment)
    else:
        return None
    return found if found.world > 1 else None


def _by_torchrun(given: Mapping[str, str]) -> Launched:
    return Launched(
        "torchrun", int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"]),
        int(given["LOCAL_WORLD_SIZE"]), int(given["GROUP_RANK"]), given["MASTER_ADDR"],
        int(given["MASTER_PORT"]),
    )  # fmt: skip


def _by_srun(given: Mapping[str, str]) -> Launched:
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    world, nodes = int(given["SLURM_STEP_NUM_TASKS"]), int(given.get("SLURM_STEP_NUM_NODES", 1))
    if world % nodes:
        raise NotAsLaunched(f"srun: {world} tasks on {nodes} nodes; each must have as many")
    first = given.get("SLURM_STEP_NODELIST") or given.get("SLURM_NODELIST", "127.0.0.1")
    # As Lightning has it, whose class refuses --ntasks: the first of the nodes, and a port from the
    # number of the job.
    address = given.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(first)
    port = given.get("MASTER_PORT") or 15000 + int(given.get("SLURM_JOB_ID", "0")[-4:])
    return Launched(
        "srun", int(given["SLURM_PROCID"]), world, int(given["SLURM_LOCALID"]), world // nodes,
        int(given["SLURM_NODEID"]), address, int(port),
    )  # fmt: skip


class Heartbeats:
    """The heartbeats of the ranks: rank 0 listens to all, the others to rank 0.

    A rank is lost when its beat stays away for so many seconds, or the store does (which is then
    rank 0's own). In a thread of its own, since a call to a store that is stopped does not return.
    """

    def __init__(self, me: Launched, patience: float) -> None:
        self._rank, self.patience = me.rank, patience
        self._others = range(1, me.world) if me.rank == 0 else range(1)
        self._beats = dict.fromkeys(self._others, b"")
        self._gone = False
        self._over = threading.Event()
        self.renew()
        # A connection of its own: the main thread's waits long, and a call waits for it.
        self._store = me.connected(patience)
        self._thread = threading.Thread(target=self._listen, name="heartbeats", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Count anew: this process was stopped itself, and perhaps all were."""
        self._since = dict.fromkeys(self._others, time.monotonic())

    @property
    def lost(self) -> int | None:
        """The rank that is lost."""
        if self._gone:
            return 0
        now = time.monotonic()
        stale = (r for r, since in self._since.items() if now - since > self.patience)
        return next((rank for rank in stale if self._beats[rank] != _GONE), None)

    def _listen(self) -> None:
        number = 0
        try:
            while not self._over.wait(1.0):
                number += 1
                self._store.set(f"{_BEAT}/{self._rank}", str(number))
                for rank in self._others:
                    key = f"{_BEAT}/{rank}"
                    beat = self._store.get(key) if self._store.check([key]) else b""
                    if beat != self._beats[rank]:
                        self._beats[rank], self._since[rank] = beat, time.monotonic()
        except RuntimeError:  # as torch.distributed says that the other end is gone
            self._gone = self._rank != 0 and self._beats[0] != _GONE

    def stop(self) -> None:
        """Say that no beat will come any more."""
        self._over.set()
        self._thread.join(3.0)
        if not self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._store.set(f"{_BEAT}/{self._rank}", _GONE)

    def wait_for_all(self) -> None:
        """Of rank 0, whose store it may be: leave last."""
        end = time.monotonic() + self.patience
        with contextlib.suppress(RuntimeError):
            while self._rank == 0 and time.monotonic() < end and not self._all_gone():
                time.sleep(0.1)

    def _all_gone(self) -> bool:
        keys = [f"{_BEAT}/{rank}" for rank in self._others]
        return all(self._store.check([key]) and self._store.get(key) == _GONE for key in keys)


def devices_of(trainer: Mapping[str, Any]) -> int:
    """How many processes a run takes on a node by its config; ``auto`` and -1 are all GPUs."""
    devices = trainer["devices"]
    if isinstance(devices, int) and devices > 0:
        return devices
    if not isinstance(devices, (int, str)):
        return len(devices)
    if trainer["accelerator"] not in ("auto", "gpu", "cuda"):
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def sized(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that Lightning's trainer gets in the place of the config's."""
    me = launched()
    if me is not None:
        devices = trainer["devices"]
        named = not isinstance(devices, (int, str))
        return {"devices": list(devices) if named else me.local_world, "num_nodes": me.nodes}
    if trainer["devices"] in ("auto", -1):
        return {"devices": devices_of(trainer)}
    return {}


def redirect_to_log(folder: Path, rank: int) -> int:
    """Let what this process prints stand in ``rankN.log``; a copy of the old stderr."""
    heard = os.dup(2)
    log = os.open(folder / f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    return heard
