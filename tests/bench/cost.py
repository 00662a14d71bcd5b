"""What every strategy and every autoencoder costs at its defaults.

    python -m tests.bench.cost [--only WORD ...] [KEY=VALUE ...] > table.md

prints a table: processor seconds of ``aetl check`` (without the imports, which the first line
tells), and of a job, beside those of ``parameter/finetune`` with the plain autoencoder. A
strategy's job finds pretraining and twin in the store, an autoencoder's job pretrains. Each runs
in a forked process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

_START = time.process_time()

import torch  # noqa: E402

import aetl.multirun.preload  # noqa: E402, F401  (once here, and not in every process)
from aetl.config import conf_dir  # noqa: E402
from aetl.front import check, run  # noqa: E402

IMPORTS = time.process_time() - _START
QUIET = ("logger=none", "callback.progress=null", "score=none")
NEEDS = {
    "transfer=instance/tradaboost_r2": ("task=regression", "metric=r2"),
    "transfer=instance/elbo_weights": ("autoencoder=vae",),
    "transfer=parameter/norm_only": ("backbone.norm=batch",),
    "transfer=parameter/adabn": ("backbone.norm=batch",),
    "transfer=feature/as_is": ("task=reconstruction",),
    "transfer=feature/dec": ("task=clustering",),
    "transfer=feature/frozen": ("task=retrieval",),
    "transfer=feature/idec": ("task=clustering",),
}
LONGEST_CHECK, MOST = 20.0, 10.0
"""Seconds, imports included; times the plain job."""


def variants(group: str) -> Iterator[str]:
    """``GROUP=OPTION`` of every option."""
    folder = conf_dir() / group
    for path in sorted(folder.rglob("*.yaml")):
        yield f"{group}={path.relative_to(folder).with_suffix('')}"


def cpu_seconds(do: Callable[[], object], log: Path) -> float:
    """Of ``do`` in a forked process; NaN where it fails, with the reason on stderr."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        print(*last, file=sys.stderr)
        return float("nan")
    return usage.ru_utime + usage.ru_stime


def costs(variant: str, settings: list[str], folder: Path, store: Path) -> tuple[float, float]:
    """Of the check and of the job."""
    own = [*QUIET, variant, *NEEDS.get(variant, ()), *settings]
    place = [f"output_dir={folder}", f"store.dir={store}"]
    log = folder / "log.txt"
    checked = cpu_seconds(lambda: check(own), log)
    return checked, cpu_seconds(lambda: run([*own, *place]), log)


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[""], help="variants whose name has this")
    options, settings = parser.parse_known_args(arguments)
    torch.set_num_threads(1)
    print(f"imports {IMPORTS:.1f} s; settings: {' '.join(settings) or 'none'}\n")
    print("| variant | check s | job s | times plain | |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="aetl-cost-") as temporary:
        folder = Path(temporary)
        costs("transfer=feature/linear_probe", settings, folder, folder / "store")
        _, plain = costs("transfer=parameter/finetune", settings, folder, folder / "store")
        _, whole = costs("autoencoder=undercomplete", settings, folder, folder / "own")
        for group, unit in (("transfer", plain), ("autoencoder", whole)):
            for number, variant in enumerate(variants(group)):
                if not any(word in variant for word in options.only):
                    continue
                place = folder / ("store" if group == "transfer" else f"own{number}")
                again = variant == "transfer=parameter/finetune"
                checked, job = costs(variant, settings, folder, place)
                job = plain if again else job
                slow = checked + IMPORTS > LONGEST_CHECK or job > MOST * unit
                print(
                    f"| {variant} | {checked:.1f} | {job:.1f} | {job / unit:.1f} "
                    f"| {'!' if slow or job != job else ''} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
