"""Runs on a W&B server, fetched as run folders: ``wandb:ENTITY/PROJECT`` where a path is asked.

What tables need is in a run's config (node ``aetl``) and summary; it is written below
``<outputs>/wandb/fetched`` as ``run.json`` and ``config.yaml``, so that everything that reads
folders reads these. Pictures and predictions are not fetched.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aetl.config import ConfigError
from aetl.files import write_json, write_text
from aetl.place import folder_of

log = logging.getLogger(__name__)

PREFIX = "wandb:"
STATUSES = {"finished": "done", "failed": "failed", "running": "running"}
"""Any other state is that of a run that was cut off."""
SCORES = {"scores": "evaluate/test/", "twin": "evaluate/twin/", "gain": "evaluate/gain/",
          "reconstruction": "evaluate/reconstruction/", "seconds": "seconds/"}  # fmt: skip
VERDICTS = "verdicts_of"
"""In the config of a run that holds a sweep's verdicts, and is no job's."""
SECONDS = 30
_NAME = re.compile(r"[A-Za-z0-9_-][\w.-]*")
"""Of an entity, a project or a run: each is the name of a folder, and nothing above it."""


def local(path: Path) -> Path:
    """The folder of a path; runs of a W&B project are fetched first."""
    text = str(path)
    if not text.startswith(PREFIX):
        return path
    entity, _, project = text.removeprefix(PREFIX).partition("/")
    if not _NAME.fullmatch(entity) or not _NAME.fullmatch(project):
        raise ConfigError(f"{text}: expected {PREFIX}ENTITY/PROJECT")
    runs = [
        (run.id, *_read(run))
        for run in _runs(entity, project)
        if _NAME.fullmatch(run.id) and VERDICTS not in run.config
    ]
    others = sum(not record for _, record, _ in runs)
    if others == len(runs):  # none, or none of ours
        raise ConfigError(f"{text}: there are no runs of aetl")
    folder = Path(folder_of("AETL_OUTPUT_DIR", "outputs"), "wandb", "fetched", entity, project)
    if folder.is_symlink():
        raise ConfigError(f"{folder}: is a link; what it leads to is not ours to replace")
    shutil.rmtree(folder, ignore_errors=True)
    for name, record, config in runs:
        if record:
            _write(folder / name, record, config)
    if others:
        log.warning("%s: left out %d that are not aetl's", text, others)
    return folder


def _runs(entity: str, project: str) -> list[Any]:
    import wandb

    try:
        api = wandb.Api(timeout=SECONDS)
        return list(api.runs(f"{entity}/{project}", per_page=500, lazy=False))
    except (wandb.Error, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise ConfigError(f"{PREFIX}{entity}/{project}: {line}") from None


def _read(run: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's record and config; an empty record for one that is not aetl's."""
    config = dict(run.config)
    record = config.pop("aetl", None)
    if not isinstance(record, Mapping):
        return {}, {}
    summary = run.summary_metrics
    scores = {
        part: {key.removeprefix(prefix): v for key, v in summary.items() if key.startswith(prefix)}
        for part, prefix in SCORES.items()
    }
    status = STATUSES.get(run.state, "interrupted")
    if status == "done" and not scores["scores"]:
        status = "interrupted"
    chosen = config.pop("chosen", {})
    record = {**record, "status": status, "url": run.url, **scores}
    return record, nested({**config, **chosen}.items())


def nested(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Dictionaries from values by dotted name; a value below a node is added to it."""
    found: dict[str, Any] = {}
    for name, value in sorted(items, key=lambda item: item[0].count(".")):
        *path, last = name.split(".")
        node = found
        for part in path:
            inner = node.get(part)
            node[part] = dict(inner) if isinstance(inner, Mapping) else {}
            node = node[part]
        node[last] = value
    return found


def _write(folder: Path, record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    import yaml

    write_text(folder / "config.yaml", yaml.safe_dump(dict(config)))
    write_json(folder / "run.json", record)
