"""Weights & Biases: one run for each job, offline where nobody is logged in."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aetl.data.base import Examples
from aetl.files import read_json, write_json
from aetl.ranges import Natural, NonNegative
from aetl.store.store import Entry
from aetl.tracking.agent import beside_the_sweeps
from aetl.tracking.base import About, Results, Status, Tracker
from aetl.tracking.history import Row

log = logging.getLogger(__name__)

EXIT_CODES: dict[Status, int] = {
    "done": 0,
    "pruned": 0,
    "refused": 0,
    "failed": 1,
    "interrupted": 255,
}
"""The client itself ends a run with 255 at Ctrl-C."""
_NAME, _TAG = 128, 64
"""What the service takes at most."""
ARTIFACTS = {"pretrain": "autoencoder.pt", "transfer": "network.safetensors"}
"""The file of each stage that becomes an artifact. (A twin is there to be compared with.)"""


class Wandb(Tracker):
    """A W&B run; ``mode=auto`` is online where an API key is known, else offline.

    All runs write below ``<output_dir>/wandb``, so that ``wandb sync`` and ``wandb leet`` find them
    all in one place. A run's id is kept in its folder (``wandb.json``): a job that is continued
    there continues its W&B run. What the server does not get within ``patience`` seconds stays in
    the files, and the log says how to upload it.
    """

    def __init__(
        self, *, project: str, entity: str | None, mode: Literal["auto", "online", "offline"],
        artifacts: bool, predictions: Natural, patience: NonNegative,
    ) -> None:  # fmt: skip
        self.project, self.entity, self.mode = project, entity, mode
        self.artifacts, self.predictions, self.patience = artifacts, predictions, patience
        self._run: Any = None
        self._own: Any = None
        self._answers = True
        self._past: dict[str, float] = {}

    def start(self, about: About) -> None:
        import wandb

        self.about = about
        about.output_dir.mkdir(parents=True, exist_ok=True)
        saved = about.folder / "wandb.json"
        earlier = read_json(saved) if saved.exists() else {}
        known = earlier.get("id")
        mode = os.environ.get("WANDB_MODE") or (
            ("online" if _logged_in() else "offline") if self.mode == "auto" else self.mode
        )
        try:
            self._run = self._open(mode, known)
        except wandb.Error as error:
            if mode != "online":
                raise
            log.warning("W&B: %s; this run is logged offline", str(error).splitlines()[0])
            self._run = self._open("offline", known)
        if earlier:
            _set_aside(Path(earlier["files"]))
        run = self._run
        place = {
            "id": run.id,
            "entity": run.entity,
            "project": run.project,
            "url": None if run.offline else run.url,
        }
        write_json(saved, place | {"files": str(run.settings.sync_dir)})
        for stage in ("pretrain", "transfer", "twin"):
            if run.resumed:  # the checkpoint's history would come a second time
                self._past[stage] = run.summary.get(f"{stage}/step", -1)
            run.define_metric(f"{stage}/step")
            run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        # Logged once: a summary of their maximum would nest the value that sweeps look for.
        for name in about.record["higher_is_better"]:
            run.define_metric(f"evaluate/test/{name}")

    def _open(self, mode: str, known: str | None) -> Any:
        import wandb

        about = self.about
        if mode == "offline":  # then nothing goes to the client's maker either
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb.setup(wandb.Settings(mode=mode))  # type: ignore[arg-type]
        # An agent has fixed the id, the project and the entity; the client wants them once.
        of_agent = bool(os.environ.get("WANDB_SWEEP_ID"))
        return wandb.init(
            project=None if of_agent else self.project,
            entity=None if of_agent else self.entity,
            id=None if of_agent else known,
            resume="allow" if mode == "online" and (known or of_agent) else None,
            mode=mode,  # type: ignore[arg-type]
            dir=about.output_dir,
            name=about.name[:_NAME],
            group=about.group[:_NAME],
            job_type=about.job_type,
            tags=list(dict.fromkeys(tag[:_TAG] for tag in about.tags)),
            config=beside_the_sweeps({**about.config, "aetl": dict(about.record)}),
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                init_timeout=self.patience,
                finish_timeout=self.patience,
                finish_timeout_raises=True,
            ),
        )

    @property
    def id(self) -> str | None:
        return None if self._run is None else str(self._run.id)

    def log(self, rows: Sequence[Row]) -> None:
        steps: dict[tuple[str, int], dict[str, float]] = {}
        for row in rows:
            if row.step <= self._past.get(row.stage, -1):
                continue
            values = steps.setdefault((row.stage, row.step), {f"{row.stage}/step": row.step})
            values[f"{row.stage}/{row.split}/{row.name}"] = row.value
        for values in steps.values():
            self._run.log(values)

    def stage_done(self, stage: str, entry: Entry) -> None:
        """Upload the stage's weights once; where they are there already, say that they are used."""
        if stage in ARTIFACTS and self.artifacts and not self._run.offline:
            self._ask(self._use if entry.reused else self._upload, stage, entry)

    def pictures(self, stage: str, found: Sequence[tuple[int, Path]]) -> None:
        import wandb

        name = f"{stage}/reconstructions"
        if self._run.resumed and name in self._run.summary:
            return
        for step, path in found:
            self._run.log({f"{stage}/step": step, name: wandb.Image(str(path))})

    def _ask(self, question: Callable[..., None], *arguments: Any) -> None:
        """Do what waits for an answer of the server. Once it gives none it is not asked again: each
        question costs its time-out, and all that matters is in the folder."""
        if not self._answers:
            return
        try:
            question(*arguments)
        except Exception as error:
            self._answers = False
            log.warning(
                "W&B: no answer, so no more artifacts or tables of this run: %s",
                str(error).splitlines()[0],
            )

    def _use(self, stage: str, entry: Entry) -> None:
        import wandb

        try:
            self._run.use_artifact(f"{_artifact(stage, entry)}:latest", type="model")
        except (wandb.Error, ValueError):  # it was computed offline, or for another project
            self._upload(stage, entry)

    def _upload(self, stage: str, entry: Entry) -> None:
        import wandb

        names = ["source", "autoencoder", "loss", "seed"]
        names += ["target", "transfer", "budget"] if stage == "transfer" else []
        about = {name: self.about.record[name] for name in names}
        artifact = wandb.Artifact(_artifact(stage, entry), type="model", metadata=about)
        artifact.add_file(str(entry.path / ARTIFACTS[stage]), policy="immutable")
        self._run.log_artifact(artifact, aliases=["latest", f"seed{about['seed']}"])
        if stage == "pretrain":
            self._own = artifact

    def finish(self, results: Results, status: Status) -> None:
        import wandb

        if self._run is None:
            return
        try:
            images = {f"figures/{n}": wandb.Image(str(p)) for n, p in results.figures.items()}
            if images or results.summary:
                self._run.log({**results.summary, **images})
            if results.test is not None and self.predictions:
                self._ask(self._log_table, results.test)
            if self._own is not None:  # this run's transfer used the encoder that it has uploaded
                self._ask(self._use_own)
        finally:
            self._close(EXIT_CODES[status])

    def _close(self, exit_code: int) -> None:
        try:
            self._run.finish(exit_code=exit_code)
        except TimeoutError:
            log.warning(
                "W&B: not all was uploaded in %g seconds (logger.wandb.patience); "
                "it is kept, upload it with: wandb sync --include-online %s",
                *(self.patience, self._run.settings.sync_dir),
            )

    def _use_own(self) -> None:
        self._run.use_artifact(self._own.wait(timeout=round(self.patience)))

    def _log_table(self, test: Examples) -> None:
        import wandb

        columns = columns_of(self.about.folder / "predictions.npz", test, self.predictions)
        if "image" in columns:
            columns["image"] = [wandb.Image(image) for image in columns["image"]]
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        self._run.log({"predictions": wandb.Table(columns=list(columns), data=rows)})


def _set_aside(folder: Path) -> None:
    """Hide the files of an offline run that was cut off from ``wandb sync``.

    The run that goes on logs its past, too. And killed early, a run leaves a file without a record,
    at which ``wandb sync`` gives up all files of the same run.
    """
    if folder.name.startswith("offline-run-") and folder.is_dir():
        folder.rename(folder.with_name(folder.name.replace("offline", "cut-off", 1)))


def _artifact(stage: str, entry: Entry) -> str:
    return f"{stage}-{entry.digest}"


def columns_of(path: Path, test: Examples, rows: int) -> dict[str, list[Any]]:
    """The first ``rows`` test examples: image (PIL), truth, prediction, twin, confidence.

    Classes are named. Vectors have no image, predictions without probabilities no confidence.
    """
    import torch
    from PIL import Image

    with np.load(path) as saved:
        arrays = {name: saved[name][:rows] for name in saved.files}
    columns: dict[str, list[Any]] = {}
    if len(test.shape) == 3:
        x = test.inputs(torch.arange(len(arrays["y"])))
        pixels = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
        columns["image"] = [
            Image.fromarray(p.squeeze(-1) if p.shape[-1] == 1 else p) for p in pixels
        ]

    def shown(values: np.ndarray) -> list[Any]:
        named = test.classes and np.issubdtype(arrays["y"].dtype, np.integer)
        if values.ndim == 2:  # several labels
            return [", ".join(np.array(test.classes)[v == 1]) for v in values]
        return [test.classes[int(v)] if named else float(v) for v in values]

    columns |= {
        "truth": shown(arrays["y"]),
        "prediction": shown(arrays["prediction"]),
        "twin": shown(arrays["twin_prediction"]),
    }
    if "probability" in arrays:
        columns["confidence"] = [float(p) for p in arrays["probability"].max(axis=1)]
    return columns


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
