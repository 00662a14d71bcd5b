"""A command in a forked process that is stopped at a seeded moment, and damage done to its files.

The moment is counted in processor time, so that it does not move with the load of the machine.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import aetl.multirun.preload  # noqa: F401  (once here, and not in every process that is forked)
from aetl.files import read_json
from tests.tiny import MLP, SMALL

RUN = (*SMALL, *MLP, "pretrain.max_steps=12", "finetune.max_steps=12", "score=none",
       "callback.resume_point.every_n_steps=2")  # fmt: skip
SWEEP = ("-m", *RUN, "transfer=parameter/finetune,parameter/model_soup", "hydra.launcher.jobs=1")
TWO = (*RUN, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
PATIENCE = 240.0


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code (negative: the signal), what it said, its CPU seconds."""

    code: int
    said: str
    seconds: float


def do(arguments: Sequence[str], folder: Path, within: Callable[[], object] = int) -> End:
    """``aetl ARGUMENTS`` in a process of its own with ``folder`` for its outputs.

    ``within`` is called in it beforehand: it may set a timer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        _be(arguments, folder, log, within)
    code = _waited(child)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return End(code, log.read_text(errors="replace"), after.ru_utime - before.ru_utime)


def _be(arguments: Sequence[str], folder: Path, log: Path, within: Callable[[], object]) -> None:
    code = 70
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1) for n in (1, 2))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            )
        os.environ["AETL_OUTPUT_DIR"] = str(folder)
        from aetl.cli import main

        within()
        code = main([*arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 71
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _waited(child: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"a command hung for {PATIENCE:g} seconds")


def killed_after(seconds: float) -> Callable[[], object]:
    """Ended by the kernel, as by SIGKILL: nothing of ours runs any more."""

    def within() -> None:
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)

    return within


def signalled_after(seconds: float, number: signal.Signals) -> Callable[[], object]:
    def within() -> None:
        signal.signal(signal.SIGVTALRM, lambda *_: os.kill(os.getpid(), number))
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)

    return within


def full_after(number: int) -> Callable[[], object]:
    """The disk is full from the ``number``-th file on."""

    def within() -> None:
        import errno
        import tempfile

        left, real = [number], tempfile.mkstemp

        def mkstemp(*arguments: Any, **keys: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                where = os.path.join(keys.get("dir") or tempfile.gettempdir(), "full")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)
            return real(*arguments, **keys)

        tempfile.mkstemp = mkstemp

    return within


Bits = dict[str, bytes]


def bits(folder: Path) -> Bits:
    """What the latest run (or all of a sweep) has found, to the last bit."""
    found: Bits = {}
    records = sorted(folder.glob("2*/*/run.json")) + sorted(folder.glob("2*/*/*/run.json"))
    # A run that was killed between claiming its folder and saying so has an empty record.
    begun = [path for path in records if path.stat().st_size]
    done = [path for path in begun if read_json(path)["status"] == "done"]
    if done and done[-1].parent.name.isdigit():
        done = [path for path in done if path.parent.parent == done[-1].parent.parent]
    else:
        done = done[-1:]
    for number, path in enumerate(done):
        record = read_json(path)
        for part in ("scores", "twin", "gain", "oracle", "receipt"):
            found[f"{number}.{part}"] = repr(record[part]).encode()
        with np.load(path.parent / "predictions.npz") as arrays:
            found |= {f"{number}.{name}": arrays[name].tobytes() for name in arrays.files}
        for weights in sorted(path.parent.glob("checkpoints/*.safetensors")):
            found[f"{number}.{weights.name}"] = weights.read_bytes()
    return found


def flip(path: Path, random: random.Random, all_: Sequence[Path]) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)


def truncate(path: Path, random: random.Random, all_: Sequence[Path]) -> None:
    os.truncate(path, random.randrange(path.stat().st_size + 1))


def zeros(path: Path, random: random.Random, all_: Sequence[Path]) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def delete(path: Path, random: random.Random, all_: Sequence[Path]) -> None:
    path.unlink()


def swap(path: Path, random: random.Random, all_: Sequence[Path]) -> None:
    """Another file of the same kind, as it was written there."""
    others = [other for other in all_ if other.suffix == path.suffix and other != path]
    if others:
        shutil.copyfile(random.choice(others), path)


DAMAGES = (flip, truncate, zeros, delete, swap)


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock"))


def names_a_file(end: End, folder: Path) -> bool:
    """Whether one line of it names a file of these outputs, and nothing of Python's is shown."""
    lines = [line for line in end.said.splitlines() if str(folder) in line]
    return end.code != 0 and bool(lines) and "Traceback" not in end.said
