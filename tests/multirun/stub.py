"""A job that takes no time, in the place of the real one: what it does stands in ``tags``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

TASK = "tests.multirun.stub:task"


def task(cfg: Any) -> float:
    """Behave as the first tag says; a second time in the same folder always be good."""
    node = HydraConfig.get()
    folder = Path(node.runtime.output_dir)
    assert node.mode.name == "MULTIRUN"
    first = not (folder / "ran").exists()
    with open(folder / "ran", "a") as file:
        file.write(f"{os.getpid()}\n")
    behaviour = str(cfg.tags[0]) if cfg.tags else "good"
    if first or behaviour == "always":
        BEHAVIOURS[behaviour](folder)
    if os.environ.get("AETL_RECORD_OF_STUB"):
        record = {"status": "done", "metric": "accuracy", "scores": {"accuracy": cfg.seed / 4}}
        (folder / "run.json").write_text(json.dumps(record))
    return float(cfg.seed / 4)


def objective(cfg: Any) -> list[float]:
    """The same as a job of a search."""
    return [task(cfg)]


def fail(folder: Path) -> None:
    raise ValueError("no luck\nand more lines")


def misfit(folder: Path) -> None:
    from aetl.types import DoesNotFit

    raise DoesNotFit("backbone=conv takes images")


def sleep(folder: Path) -> None:
    begin = time.monotonic()
    time.sleep(0.4)
    (folder / "slept").write_text(json.dumps([begin, time.monotonic()]))


def hang(folder: Path) -> None:
    time.sleep(120)


def surroundings(folder: Path) -> None:
    from threadpoolctl import threadpool_info

    found = {
        "threads": max(pool["num_threads"] for pool in threadpool_info()),
        "omp": os.environ["OMP_NUM_THREADS"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "argv": sys.argv,
        "cwd": os.getcwd(),
    }
    (folder / "surroundings.json").write_text(json.dumps(found))
    time.sleep(0.4)


def talk(folder: Path) -> None:
    print("said by Python")
    os.write(2, b"said by C\n")
    subprocess.run(["echo", "said by a child"], check=True)


def litter(folder: Path) -> None:
    """As a library that means to tidy up when the interpreter ends."""
    (Path(tempfile.mkdtemp()) / "table.json").write_text("{}")
    subprocess.run([sys.executable, "-c", "import tempfile; tempfile.mkdtemp()"], check=True)


BEHAVIOURS = {
    "litter": litter,
    "good": lambda folder: None,
    "raise": fail,
    "misfit": misfit,
    "always": fail,
    "kill": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda folder: os.kill(os.getpid(), signal.SIGSEGV),
    "leave": lambda folder: os._exit(3),
    "interrupt": lambda folder: os.kill(os.getpid(), signal.SIGINT) or time.sleep(10),
    "sleep": sleep,
    "hang": hang,
    "surroundings": surroundings,
    "talk": talk,
}
