"""The verdicts of a sweep as a W&B run of their own, beside those of its jobs."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aetl.comparison.remote import VERDICTS
from aetl.files import read_json, write_json

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds for the server; what it does not get stays in the files."""
_COUNTED = "verdicts"
_SUMMARISED = ("gain_", "oracle", "source_", "score_", "scratch_", "p_value")
"""Numbers of each row that the summary holds beside its verdict; the table holds all."""


def log_verdicts(
    sweep: Path, runs: Iterable[Path], lines: Sequence[Mapping[str, Any]], page: Path
) -> None:
    """Send the rows of a comparison to where its jobs' runs went; nothing where none did.

    ``lines`` have a ``name`` for each row, its ``outcome`` and ``verdict`` (with its symbol) beside
    whatever numbers. The summary counts the outcomes and holds the verdict of each row, the table
    everything; the sweep's page is shown in the run. A sweep that goes on continues its run. A
    service that fails is told in a line: all that matters is in the folder.
    """
    noted = next((n for folder in runs if (n := _noted(folder))), None)
    if noted is None or not lines:
        return
    try:
        _log(sweep, noted, lines, page)
    except Exception as error:
        log.warning("W&B: no verdicts of this sweep: %s", str(error).splitlines()[0])


def _noted(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(folder / "wandb.json"))
    except (OSError, ValueError):
        return None


def _log(
    sweep: Path, noted: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], page: Path
) -> None:
    import wandb

    mode: Any = os.environ.get("WANDB_MODE") or ("online" if noted.get("url") else "offline")
    known = (_noted(sweep) or {}).get("id")
    run = wandb.init(
        project=noted.get("project"),
        entity=noted.get("entity"),
        id=known,
        resume="allow" if known and mode == "online" else None,
        mode=mode,
        dir=Path(noted["files"]).parents[1],
        name=f"verdicts {sweep.name}",
        job_type=_COUNTED,
        group=sweep.name,
        config={VERDICTS: sweep.name},
        reinit="create_new",
        settings=wandb.Settings(
            silent=True, console="off", x_disable_stats=True, init_timeout=PATIENCE,
            finish_timeout=PATIENCE, finish_timeout_raises=True,
        ),
    )  # fmt: skip
    write_json(sweep / "wandb.json", {
        "id": run.id, "entity": run.entity, "project": run.project,
        "url": None if run.offline else run.url, "files": str(run.settings.sync_dir),
    })  # fmt: skip
    counts = Counter(str(line["outcome"]) for line in lines)
    run.summary.update(
        {f"{_COUNTED}/{outcome}": count for outcome, count in counts.items()}
        | {f"verdict/{line['name']}": line["verdict"] for line in lines}
        | {
            f"{key}/{line['name']}": value
            for line in lines
            for key, value in line.items()
            if key.startswith(_SUMMARISED) and isinstance(value, int | float)
        }
    )
    by_column = {key: of_one_type([line[key] for line in lines]) for key in lines[0]}
    table = wandb.Table(columns=list(by_column), data=list(zip(*by_column.values(), strict=True)))
    run.log({"table": table, "report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})
    run.finish()


def of_one_type(values: Sequence[Any]) -> list[Any]:
    """A column as W&B takes it: where one value is text ("more than 1000"), all are."""
    words = any(isinstance(value, str) for value in values)
    return [str(value) if words and value is not None else value for value in values]
