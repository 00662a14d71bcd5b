"""What a model is, beside its config and its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.files import read_json, write_json
from aetl.model.preprocessing import Preprocessing
from aetl.stage.domains import Domains
from aetl.stage.fitted import Form, form_of
from aetl.task.base import Task
from aetl.types import PLAIN, Entries, UserError

SPEC = "model.json"
VERSION = 1


@dataclass(frozen=True)
class Spec:
    """What a model is, beside its config and its tensors; ``model.json``."""

    form: Form
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @staticmethod
    def of(cfg: DictConfig, domains: Domains) -> Spec:
        task: Task = instantiate(cfg.task)
        return Spec(form_of(domains, task), domains.target.pool.classes, Preprocessing.of(domains))

    def save(self, folder: Path) -> None:
        write_json(
            folder / SPEC,
            {
                "version": VERSION,
                **self.form._asdict(),
                "entries": self.form.entries.as_dict(),
                "classes": self.classes,
                "preprocessing": self.preprocessing.as_dict(),
            },
        )

    @staticmethod
    def load(folder: Path) -> Spec:
        file = folder / SPEC
        try:
            plain = read_json(file)
        except FileNotFoundError:
            raise UserError(
                f"{folder}: has no {SPEC}; a run that ended, made by this version of aetl, has one "
                "(`aetl rerun` makes a run anew)"
            ) from None
        except ValueError:
            raise UserError(f"{file}: cannot be read as JSON") from None
        if plain.get("version") != VERSION:
            raise UserError(f"{file}: is of version {plain.get('version')}, known is {VERSION}")
        entries = Entries.from_dict(plain["entries"]) if "entries" in plain else PLAIN
        form = Form(tuple(plain["shape"]), plain["source_classes"], plain["output_dim"], entries)
        preprocessing = Preprocessing.from_dict(plain["preprocessing"] | {"entries": entries})
        return Spec(form, tuple(plain["classes"]), preprocessing)
