"""Weights & Biases: one run for each job, offline where nobody is logged in."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aetl.tracking.base import About, Tracker
from aetl.tracking.history import Row

log = logging.getLogger(__name__)


class Wandb(Tracker):
    """A W&B run; ``mode=auto`` is online where an API key is known, else offline.

    All runs write below ``<output_dir>/wandb``, so that ``wandb sync`` finds them all in one place.
    """

    def __init__(
        self, *, project: str, entity: str | None, mode: Literal["auto", "online", "offline"]
    ) -> None:
        self.project, self.entity, self.mode = project, entity, mode
        self._run: Any = None

    def start(self, about: About) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE") or (
            ("online" if _logged_in() else "offline") if self.mode == "auto" else self.mode
        )
        about.output_dir.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=mode,  # type: ignore[arg-type]
            dir=about.output_dir,
            name=about.name,
            group=about.group,
            job_type=about.job_type,
            tags=list(about.tags),
            config=dict(about.config),
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        for stage in ("pretrain", "transfer", "twin"):
            self._run.define_metric(f"{stage}/step")
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        # Logged once: a summary of their maximum would nest the value that sweeps look for.
        for name in about.goals:
            self._run.define_metric(f"evaluate/test/{name}")

    @property
    def id(self) -> str | None:
        return None if self._run is None else str(self._run.id)

    def log(self, rows: Sequence[Row]) -> None:
        steps: dict[tuple[str, int], dict[str, float]] = {}
        for row in rows:
            values = steps.setdefault((row.stage, row.step), {f"{row.stage}/step": row.step})
            values[f"{row.stage}/{row.split}/{row.name}"] = row.value
        for values in steps.values():
            self._run.log(values)

    def finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path], ok: bool) -> None:
        import wandb

        if self._run is None:
            return
        images = {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
        if images or summary:
            self._run.log({**summary, **images})
        self._run.finish(exit_code=0 if ok else 1)


def _logged_in() -> bool:
    """Whether wandb would find an API key, in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split(":")[0]
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
