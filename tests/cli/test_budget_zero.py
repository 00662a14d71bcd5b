"""Without target labels: what may run, against which twin, and what its record says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aetl.cli import main
from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from aetl.config import ConfigError, check, resolved
from aetl.launch import summary_of
from aetl.types import UserError
from tests.cli.test_runs import TINY, records
from tests.conformance.test_transfers import STRATEGIES
from tests.tiny import CONV, World

ZERO = [*TINY, "target.budget=0", "source.size=120", "target.size=120", "metric=accuracy"]
ADAPTED = "transfer/control@twin=source_only"


def test_gain_is_that_over_the_pretrained_network_that_is_not_adapted(tmp_path: Path) -> None:
    for arm in ("feature/mmd", "control/source_only"):
        assert main([*ZERO, ADAPTED, f"transfer={arm}", f"output_dir={tmp_path}"]) == 0
    found = {record["transfer"]: record for record in records(tmp_path)}
    adapted, control = found["feature/mmd"], found["control/source_only"]
    assert adapted["twin"] == control["scores"]
    assert adapted["parents"]["twin"] == control["parents"]["transfer"]
    assert control["gain"] == {"accuracy": 0.0}
    assert adapted["baseline"] == "control/source_only"
    assert adapted["budget"] == 0
    assert "source_only twin" in summary_of(adapted, tmp_path)
    found_rows = {row.transfer: row for row in rows(find_runs([tmp_path]).done)}
    assert found_rows["feature/mmd"].control == "control/source_only"


def test_the_strongest_control_is_named_where_it_was_only_the_twin(tmp_path: Path) -> None:
    assert main([*ZERO, ADAPTED, "transfer=feature/coral_closed", f"output_dir={tmp_path}"]) == 0
    (row,) = rows(find_runs([tmp_path]).done)
    assert row.control == "control/source_only"


@pytest.mark.parametrize(
    "overrides, line",
    [
        ([], "target.budget=0: transfer=parameter/finetune learns from target labels; use what"),
        (
            ["transfer=feature/dann"],
            "the twin control/scratch learns from target labels; set trans",
        ),
        (
            ["transfer=[feature/dann,parameter/lora]", ADAPTED],
            "transfer=parameter/lora learns from",
        ),
    ],
)
def test_what_needs_target_labels_is_refused(
    overrides: list[str], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*ZERO, *overrides, f"output_dir={tmp_path}"]) == 2
    (error,) = capfd.readouterr().err.strip().splitlines()
    assert line in error


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("zero"), *CONV, "backbone.norm=batch", "target.budget=0")


@pytest.mark.slow
@pytest.mark.parametrize("transfer", STRATEGIES)
def test_every_strategy_runs_without_target_labels_or_says_in_a_line_why_not(
    world: World, transfer: str
) -> None:
    arm = world.but(f"transfer={transfer}", ADAPTED)
    refusal = None
    try:
        check(resolved(arm.cfg), {})
        saved = np.load(arm.transfer().path / "predictions.npz")
    except (ConfigError, UserError) as error:
        refusal = str(error)
    if refusal is None:
        assert len(saved["prediction"]) == len(world.domains.target.test)
    else:
        assert len(refusal.splitlines()) == 1
