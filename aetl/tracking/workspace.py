"""A saved workspace of a W&B project: what an arm gains, by arm, budget and seed."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aetl.comparison.remote import PREFIX
from aetl.config import ConfigError
from aetl.files import read_json

NAME = "aetl"
BY = {"arm": "transfer", "budget": "budget", "seed": "seed"}
"""The sections, and the value of a run's record that each groups by."""


def project_of(paths: Iterable[Path], folders: Iterable[Path]) -> tuple[str, str]:
    """Entity and project of ``wandb:ENTITY/PROJECT``, or of the runs in these folders.

    Raises ConfigError where these were not logged online.
    """
    for path in map(str, paths):
        if path.startswith(PREFIX):
            entity, _, project = path.removeprefix(PREFIX).partition("/")
            return entity, project
    for folder in folders:
        try:
            noted = read_json(folder / "wandb.json")
        except (OSError, ValueError):
            continue
        if noted.get("url"):
            return str(noted["entity"]), str(noted["project"])
    raise ConfigError("--wandb: none of these runs is on a server (logger=wandb, and wandb login)")


def save_workspace(entity: str, project: str, metric: str) -> str:
    """Make a workspace anew and return its address; others' views are left alone.

    Raises ConfigError without the extra ``aetl[workspace]``, and where the server refuses it.
    """
    try:  # types of theirs do not reach what they export
        panels: Any = importlib.import_module("wandb_workspaces.reports.v2")
        views: Any = importlib.import_module("wandb_workspaces.workspaces")
    except ImportError:
        raise ConfigError("--wandb: pip install 'aetl[workspace]'") from None
    import wandb

    sections = [
        views.Section(name=name, panels=found, is_open=True)
        for name, found in _panels(panels, metric).items()
    ]
    name = f"{NAME}: {metric}"
    made = views.Workspace(entity=entity, project=project, name=name, sections=sections)
    try:
        return str(made.save().url)
    except (wandb.Error, ValueError, OSError) as error:
        line = str(error).strip().splitlines()[0]
        raise ConfigError(f"--wandb: {entity}/{project}: {line}") from None


def _panels(panels: Any, metric: str) -> dict[str, list[Any]]:
    found = {}
    for title, key in BY.items():
        group = panels.Config(f"aetl.{key}")
        bars = [
            panels.BarPlot(
                title=f"{what} by {title}",
                metrics=[f"evaluate/{part}/{metric}"],
                groupby=group,
                groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
            )
            for what, part in ((metric, "test"), (f"gain in {metric}", "gain"))
        ]
        curve = panels.LinePlot(
            title=f"validation by {title}",
            x="transfer/step",
            y=[f"transfer/validation/{metric}", "transfer/train/loss"],
            groupby=group,
            groupby_aggfunc="mean",
            groupby_rangefunc="stderr",
        )
        found[f"By {title}"] = [*bars, curve]
    pretraining = panels.LinePlot(
        title="pretraining",
        x="pretrain/step",
        y=["pretrain/train/loss", "pretrain/validation/loss"],
    )
    kept = panels.BarPlot(
        title="the source's error after the transfer, by arm",
        metrics=["retention/reconstruction/after"],
        groupby=panels.Config("aetl.transfer"),
        groupby_aggfunc="mean",
    )
    return found | {"Source": [pretraining, kept]}
