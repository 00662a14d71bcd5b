"""The processes of one run: started together, and ended together.

The children are started from the run's saved config, never from the command line, since replaying
a multirun's command line gives each rank other hyper-parameters.

A rank that fails says so in a file beside the ranks' logs, which one rank alone can make: what
stands there is why the run ended, and what the user is told. A thread in every process keeps watch,
since the main thread may wait in a collective call, where no handler of Python's runs. Rank 0 ends
the others (they have nothing to save), by which its own collective call ends; where even that does
not help, the thread itself says the last words and ends the process.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.distributed as dist
from annotated_types import Gt

from aetl import ranks
from aetl.ending import ASKING, Failure
from aetl.files import read_json
from aetl.launched import Heartbeats, Launched, devices_of, launched
from aetl.trust import python
from aetl.types import UserError

FAILURE = "rank-failed.json"
PARENT, STDERR = "AETL_RANK_PARENT", "AETL_RANK_STDERR"
ENDING = (signal.SIGINT, *ASKING)
TICK = 0.25
"""Seconds between two looks of the thread that keeps watch."""
SECONDS_FOR_A_CAUSE = 5.0
"""A rank whose collective call broke waits so long for the word of the one that broke it."""


class Patience:
    """How long the processes of a run wait for each other, in seconds.

    ``grace`` is for a process that is to end, and for one that is stopped (``kill -STOP``) to go
    on (one of another node may give no sign of life for twice as long); ``timeout`` for one that
    works on while the others wait in a collective call.
    """

    def __init__(self, *, grace: Annotated[float, Gt(0)], timeout: Annotated[float, Gt(0)]) -> None:
        self.grace, self.timeout = grace, timeout


LastWords = Callable[[Failure], None]


@contextmanager
def process_group(
    trainer: Any, patience: Patience, folder: Path, last_words: LastWords
) -> Iterator[Group]:
    """The processes of a run, and all are gone when the block ends.

    Rank 0 starts the others, where torchrun or srun has not. ``last_words`` of rank 0 are asked
    for where its main thread cannot be reached.
    """
    me, devices, nodes = launched(), devices_of(trainer), trainer.get("num_nodes", 1)
    if me is not None:
        me.refuse_other_sizes(None if trainer.devices in ("auto", -1) else devices, nodes)
    elif nodes > 1:
        raise UserError(
            f"trainer.num_nodes={nodes}: start the command on every node, by torchrun or srun"
        )
    elif devices == 1:
        yield Group(folder, patience)
        return
    if not ranks.is_child():
        _forget_ranks()  # of an earlier job in this process, or of a launcher above it
        (folder / FAILURE).unlink(missing_ok=True)
        if me is None:
            os.environ |= _rank_environment(0, devices, _free_port())
        else:
            me.enter()
            me.announce(folder)
    watch = _Watch(folder, patience, last_words, me)
    on_gpu = trainer.accelerator in ("gpu", "cuda") or (
        trainer.accelerator == "auto" and torch.cuda.is_available()
    )
    backend = "nccl" if on_gpu else "gloo"
    try:
        watch.begin(devices)
        with watch.telling():
            where = {} if me is None else me.rendezvous()
            dist.init_process_group(backend, timeout=timedelta(seconds=patience.timeout), **where)
            yield watch
    finally:
        watch.break_off()
        if dist.is_initialized():
            dist.destroy_process_group()
        watch.end()
        if not ranks.is_child():
            _forget_ranks()


class Group:
    """The processes of a run: with one alone there is nobody to tell."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.folder, self.patience = folder, patience

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the others of an error in the block, or raise what failed first elsewhere."""
        yield


class _Watch(Group):
    """Keeps watch in a thread of its own, over the children in rank 0, over rank 0 in a child.

    Where a launcher has started them all, which may be on several nodes, over their heartbeats.
    """

    def __init__(
        self, folder: Path, patience: Patience, last_words: LastWords, me: Launched | None
    ) -> None:
        super().__init__(folder, patience)
        self._heartbeats = None if me is None else Heartbeats(me, 2 * patience.grace)
        self.rank = int(os.environ["RANK"])
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self._last_words = last_words
        self._main = threading.current_thread() is threading.main_thread()
        self._leaving = False  # whether the main thread knows, and is on its way out
        self._over = threading.Event()
        self._give_up: float | None = None
        self._nudge: float | None = None
        self._stopped_since: dict[int, float] = {}
        self._thread = threading.Thread(target=self._watch, name="ranks", daemon=True)

    def begin(self, devices: int) -> None:
        self._parent = int(os.environ.get(PARENT, 0))
        self._hear_signals()
        if self.rank == 0 and self._heartbeats is None:
            for rank in range(1, devices):
                self.children[rank] = _start(rank, devices, self.folder)
        self._thread.start()

    def end(self) -> None:
        """Wait for the children, and kill what does not end by itself."""
        deadline = time.monotonic() + self.patience.grace
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
            _kill(child)
        if self._heartbeats is not None:
            self._heartbeats.stop()
            if not self._leaving:
                self._heartbeats.wait_for_all()
        self._over.set()
        self._thread.join()
        self._hear_no_more()

    @contextmanager
    def telling(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            cause = self._cause_of(error)
            self._leaving, self._give_up, self._nudge = True, None, None
            if cause is error:
                raise
            raise cause from error

    def break_off(self) -> None:
        """After a failure: nothing waits for the others any more, and not for long for us."""
        if self._leaving:
            self._give_up = time.monotonic() + self.patience.grace
            for child in self.children.values():
                _kill(child)

    def _cause_of(self, error: BaseException) -> BaseException:
        if self._leaving:
            return error
        if _is_of_a_broken_call(error):
            self._wait_for_a_cause()
        mine = Failure.of(error, self.rank, self._log(self.rank))
        first = self._claim(mine)
        if first.rank == self.rank or first.line == mine.line:
            # By a signal, which the thread heard before the main thread did: also ours.
            return error if first.number == mine.number else first.error()
        return first.error()

    def _wait_for_a_cause(self) -> None:
        more = 0.0 if self._heartbeats is None else self._heartbeats.patience  # until one is lost
        end = time.monotonic() + SECONDS_FOR_A_CAUSE + more
        while self._failure() is None and time.monotonic() < end:
            time.sleep(TICK)

    def _claim(self, failure: Failure) -> Failure:
        """Say why the run ends, unless another has; what stands there then."""
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=f".{FAILURE}.")
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(failure), file)
        try:
            os.link(name, self.folder / FAILURE)  # whole, and by one rank alone
        except FileExistsError:
            pass
        finally:
            os.unlink(name)
        return self._failure() or failure

    def _failure(self) -> Failure | None:
        try:
            return Failure(**read_json(self.folder / FAILURE))
        except FileNotFoundError:
            return None

    def _log(self, rank: int) -> Path:
        return self.folder / f"rank{rank}.log"

    # ---- what the thread does

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(TICK):
            now = time.monotonic()
            if now - last > 8 * TICK:  # this process was stopped itself, and perhaps all were
                self._stopped_since.clear()
                if self._heartbeats is not None:
                    self._heartbeats.renew()
            last = now
            self._listen()
            if self._heartbeats is not None:
                self._listen_to_heartbeats(self._heartbeats)
            elif self.rank == 0:
                self._look_after_children(now)
            else:
                self._look_after_parent(now)
            if self._failure() is not None:
                self._bring_to_an_end(now)
            if self._give_up is not None and now > self._give_up:
                self._end_here()

    def _listen(self) -> None:
        """A signal that the main thread cannot hear, since it waits in a collective call."""
        for number in self._heard():
            if number in ENDING:
                self._claim(Failure.asked(self.rank, number))

    def _listen_to_heartbeats(self, beats: Heartbeats) -> None:
        lost = beats.lost
        if lost is None:
            return
        said = f"gave no sign of life for {beats.patience:g} s (see {self._log(lost)})"
        if lost:
            self._claim(Failure.lost(lost, said))
        else:
            self._end_without_rank_0(Failure.lost(0, "ended without a word, or does not go on"))

    def _look_after_children(self, now: float) -> None:
        for rank, child in self.children.items():
            code = child.poll()
            if code:
                self._claim(_of_exit_code(rank, code, self._log(rank)))
            elif code is None and self._is_stopped(child.pid, now):
                self._claim(Failure.lost(rank, f"was stopped for {self.patience.grace:g} s"))

    def _look_after_parent(self, now: float) -> None:
        if os.getppid() != self._parent:  # it is gone, and nobody is left to work for
            self._end_without_rank_0(
                Failure.lost(0, "ended without a word (killed? out of memory?)")
            )
        if self._is_stopped(self._parent, now):
            self._claim(Failure.lost(0, f"was stopped for {self.patience.grace:g} s"))
            self._stopped_since.clear()
            os.kill(self._parent, signal.SIGCONT)  # to read this, and to end

    def _end_without_rank_0(self, lost: Failure) -> None:
        if self._claim(lost) == lost and (terminal := os.environ.get(STDERR)):
            with contextlib.suppress(OSError):
                os.write(int(terminal), f"aetl: {lost.line}\n".encode())
        os._exit(1)

    def _is_stopped(self, pid: int, now: float) -> bool:
        """Whether it has been stopped for longer than the grace."""
        if _state(pid) != "T":
            self._stopped_since.pop(pid, None)
            return False
        return now - self._stopped_since.setdefault(pid, now) > self.patience.grace

    def _bring_to_an_end(self, now: float) -> None:
        """Once: break the calls that the main thread may wait in, and set it a limit."""
        if self._leaving:
            return
        if self._give_up is None:
            self._give_up = now + self.patience.grace
            self._nudge = now + 8 * TICK
            return
        if self._nudge is not None and now > self._nudge:
            self._nudge = None
            for child in self.children.values():
                child.kill()
            if self._main and self.rank == 0:
                _thread.interrupt_main(signal.SIGINT)

    def _end_here(self) -> None:
        failure = self._failure() or Failure.lost(self.rank, "did not end")
        for child in self.children.values():
            child.kill()
        if self.rank == 0:
            with contextlib.suppress(Exception):
                self._last_words(failure)
        os._exit(failure.exit_code)

    # ---- signals, also while the main thread is deaf

    def _hear_signals(self) -> None:
        """The operating system's own handler writes the numbers of signals into a pipe."""
        self._ears, self._mouth = os.pipe()
        os.set_blocking(self._ears, False)
        os.set_blocking(self._mouth, False)
        if self._main:
            self._before = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def _heard(self) -> bytes:
        try:
            return os.read(self._ears, 64)
        except BlockingIOError:
            return b""

    def _hear_no_more(self) -> None:
        if self._main:
            signal.set_wakeup_fd(self._before)
        os.close(self._ears)
        os.close(self._mouth)


def _is_of_a_broken_call(error: BaseException) -> bool:
    """Whether a collective call failed, most likely since another rank did."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _of_exit_code(rank: int, code: int, log: Path) -> Failure:
    """Of a child that ended without a word."""
    if -code in ENDING:
        return Failure.asked(rank, -code)
    if code < 0:
        name = signal.Signals(-code).name
        memory = " (out of memory?)" if -code == signal.SIGKILL else ""
        return Failure.lost(rank, f"was killed by {name}{memory}")
    return Failure.lost(rank, f"ended with exit code {code} (see {log})")


def _state(pid: int) -> str:
    """``T`` for a process that is stopped; a blank where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " "
    return text.rpartition(")")[2].split()[0]


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()


def _forget_ranks() -> None:
    for name in ranks.VARIABLES:
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
    command, more = python("aetl.cli")
    environment = os.environ | more | _rank_environment(rank, devices, os.environ["MASTER_PORT"])
    with open(folder / f"rank{rank}.log", "ab") as log, os.fdopen(os.dup(2), "wb") as terminal:
        heard = terminal.fileno()  # where a rank says that rank 0 is gone
        environment |= {
            ranks.CHILD_OF: str(folder),
            PARENT: str(os.getpid()),
            STDERR: str(heard),
        }
        return subprocess.Popen(
            [*command, "_rank", str(folder), "--debug"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[heard],
        )


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
