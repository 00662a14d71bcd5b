"""``sweeps/*.yaml``: every value composes, and what is optimised is logged under its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import aetl
from aetl.cli import main
from aetl.config import check, compose, resolved
from aetl.tracking.agent import agent_arguments
from aetl.tracking.history import read_history
from tests.tiny import MLP, SMALL

FOLDER = Path(aetl.__file__).parent.parent / "sweeps"
FILES = sorted(FOLDER.glob("*.yaml"))
OPTIMISED = "transfer/validation/accuracy"


def definition(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def fixed(sweep: dict[str, Any]) -> list[str]:
    """The overrides in the command, without the agent's placeholders."""
    return [part for part in sweep["command"] if not part.startswith("${")]


def ends(parameter: dict[str, Any]) -> list[Any]:
    """Every value of a list, both ends of a range."""
    return list(parameter.get("values") or (parameter["min"], parameter["max"]))


def test_every_family_and_the_autoencoders_are_searched_in_three_ways() -> None:
    names = {path.stem for path in FILES}
    families = ("autoencoder", "feature", "parameter", "instance")
    methods = ("grid", "random", "bayes")
    assert names == {f"{family}_{method}" for family in families for method in methods}
    for path in FILES:
        assert definition(path)["method"] == path.stem.partition("_")[2]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_headed_by_its_line_and_its_cost(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert lines[0] == f"# wandb sweep sweeps/{path.name}"
    assert sum(line.startswith("# Cost: ") for line in head) == 1
    sweep = definition(path)
    if sweep["method"] == "grid":
        runs = 1
        for parameter in sweep["parameters"].values():
            runs *= len(parameter["values"])
        assert f"# Cost: {runs} runs" in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_of_a_sweep_is_valid(path: Path) -> None:
    sweep = definition(path)
    values = {name: ends(parameter) for name, parameter in sweep["parameters"].items()}
    for i in range(max(map(len, values.values()))):  # each value once, not each combination
        point = [f"{name}={found[i % len(found)]}" for name, found in values.items()]
        cfg = compose([*fixed(sweep), *agent_arguments(point)])
        check(resolved(cfg), dict(cfg.hydra.runtime.choices))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_search_does_not_look_at_test_labels(path: Path) -> None:
    sweep = definition(path)
    if sweep["method"] == "grid":
        assert sweep["metric"]["name"].startswith("evaluate/")
    else:
        assert sweep["metric"] == {"name": OPTIMISED, "goal": "maximize"}
    if sweep["method"] == "bayes":
        assert sweep["early_terminate"]["type"] == "hyperband"


SEARCHES = [
    pytest.param(p, id=p.stem, marks=() if p.stem == "parameter_bayes" else pytest.mark.slow)
    for p in FILES
    if not p.stem.endswith("_grid")
]


@pytest.mark.parametrize("path", SEARCHES)
def test_what_a_search_optimises_is_logged_after_every_epoch(path: Path, tmp_path: Path) -> None:
    sweep = definition(path)
    sizes = [o for o in (*SMALL, *MLP) if not o.startswith(("target.budget", "bottleneck"))]
    small = [*sizes, "target.budget=40", "bottleneck.latent_dim=4", "finetune.max_steps=60"]
    first = [
        f"{name}={ends(parameter)[0]}"
        for name, parameter in sweep["parameters"].items()
        if name != "bottleneck.latent_dim" and name != "pretrain.epochs"
    ]
    overrides = agent_arguments([*fixed(sweep), *first, *small])
    assert main([*overrides, f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/metrics.csv")
    rows = [
        row
        for row in read_history(file)
        if f"{row.stage}/{row.split}/{row.name}" == sweep["metric"]["name"]
    ]
    assert [row.step for row in rows] == [20, 40, 60]
    assert all(0.0 <= row.value <= 1.0 for row in rows)
