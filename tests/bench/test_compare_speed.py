"""What a comparison of many runs costs: 5 000 of them with 2 000 test examples each."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from aetl.comparison.examples import write_examples
from tests.comparison.synthetic import record

EXAMPLES, SEEDS = 2000, 20
ARMS = ("control/scratch", *(f"parameter/arm{number}" for number in range(9)))
BUDGETS, TARGETS = (10, 20, 50, 100, 1000), ("a", "b", "c", "d", "e")
CPU_SECONDS, MEGABYTES = 3.0, 500


def write_runs(folder: Path) -> int:
    draw = np.random.default_rng(0)
    identity = draw.integers(0, 2**63, EXAMPLES).astype(np.uint64)
    cells = list(product(TARGETS, ARMS, BUDGETS, range(SEEDS)))
    for number, (target, arm, budget, seed) in enumerate(cells):
        place = folder / f"{number // 500}" / f"{number}"
        place.mkdir(parents=True)
        right = {side: draw.random(EXAMPLES) < 0.7 for side in ("arm", "twin")}
        arrays: dict[str, np.ndarray] = {"identity": identity}
        for side, values in right.items():
            arrays[f"prediction.{side}"] = draw.integers(0, 10, EXAMPLES)
            arrays[f"value.accuracy.{side}"] = values.astype(np.float64)
            arrays[f"value.nll.{side}"] = draw.random(EXAMPLES)
        noted = write_examples(place, arrays)
        values = record(
            target=target, transfer=arm, budget=budget, seed=seed, examples=noted,
            rope={"accuracy": 0.01}, settings=arm, score=float(right["arm"].mean()),
            twin_score=float(right["twin"].mean()),
        )  # fmt: skip
        (place / "run.json").write_text(json.dumps(values))
    return len(cells)


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


@pytest.mark.bench
def test_five_thousand_runs_are_compared_in_three_seconds_of_cpu(tmp_path: Path) -> None:
    assert write_runs(tmp_path / "runs") == 5000
    command = [sys.executable, "-m", "aetl.cli", "compare", "--csv", str(tmp_path / "runs")]
    # By a small process: the memory of a child counts from that of its parent on.
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=True
    )
    *told, measured = done.stdout.strip().splitlines()
    cpu, megabytes = map(float, measured.split())
    table = list(csv.DictReader(told))
    assert len(table) == len(ARMS) * len(BUDGETS) * len(TARGETS)
    assert {row["n"] for row in table} == {str(SEEDS)}
    arms = [row for row in table if row["transfer"] != ARMS[0]]
    assert {row["interval_over"] for row in arms} == {"seeds and examples"}
    print(f"{cpu:.2f} s of CPU, {megabytes:.0f} MB")
    assert cpu <= CPU_SECONDS
    assert megabytes <= MEGABYTES
