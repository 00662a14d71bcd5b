"""The autoencoders in a list: paper, default loss, which losses fit, and how many parameters.

No weights are made: models are built on torch's meta device, for images of the
default data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.config import ConfigError, compose, conf_dir, locate, resolved
from aetl.foreign import parsed_yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aetl.loss.base import LossTerm

SHAPE = (1, 8, 8)
"""Of the default data set's images."""
CLASSES = 10
"""Of the default data set, for variants that learn from labels."""


GROUP_ORDER = (
    "dataset",
    "autoencoder",
    "loss",
    "transfer",
    "task",
    "backbone",
    "corruption",
    "bottleneck",
)


def options_by_group(config_dirs: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Every group's options with the first comment line of each file, users' own among them."""
    roots = [conf_dir(), *map(Path, config_dirs)]
    for root in roots:
        if not root.is_dir():
            raise ConfigError(f"--config-dir={root}: no such folder")
    found: dict[str, dict[str, str]] = {}
    for file, group in (
        (file, file.parent.relative_to(folder).as_posix())
        for folder in roots
        for file in sorted(folder.rglob("*.yaml"))
    ):
        if group == "." or group.startswith(("hydra/job", "hydra/hydra")):
            continue
        if not file.stem.startswith("_"):
            found.setdefault(group, {})[file.stem] = _headline(file)
    rank = {name: i for i, name in enumerate(GROUP_ORDER)}
    return dict(sorted(found.items(), key=lambda g: (rank.get(g[0].split("/")[0], 99), g[0])))


def _headline(file: Path) -> str:
    """The first comment of a config, or the first line of its class's docstring file."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
        if line.startswith("_target_: aetl."):
            return _module_headline(line.split()[1])
    return ""


def _module_headline(target: str) -> str:
    """The first line of a module's docstring, read as text so that nothing is imported."""
    path = Path(__file__).parent.joinpath(*target.split(".")[1:-1]).with_suffix(".py")
    if not path.is_file():
        return ""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.strip('"').strip()


@dataclass(frozen=True)
class Variant:
    """A variant of ``conf/autoencoder`` with its defaults.

    ``fits`` are the options of ``loss=`` that it can feed; ``parameters`` and ``latent`` are those
    on its own backbone for images of ``SHAPE``.
    """

    name: str
    what: str
    paper: str
    backbone: str
    loss: tuple[str, ...]
    fits: tuple[str, ...]
    parameters: int
    latent: int


def variants() -> list[Variant]:
    """Every autoencoder, by name."""
    losses = dict(sorted(_losses().items()))
    files = sorted((conf_dir() / "autoencoder").glob("[!_]*.yaml"))
    return [_variant(file, losses) for file in files]


def _variant(file: Path, losses: Mapping[str, Mapping[str, type[LossTerm]]]) -> Variant:
    from aetl.autoencoder.fields import given_fields
    from aetl.label import names_of

    cfg = compose([f"autoencoder={file.stem}"])
    plain, choices = resolved(cfg), cfg.hydra.runtime.choices
    given = given_fields(plain["autoencoder"])
    what, paper = _cited(_comment(file))
    model = _built(cfg)
    return Variant(
        name=file.stem,
        what=what,
        paper=paper,
        backbone=str(choices["backbone"]) if "backbone" in plain["autoencoder"] else "",
        loss=tuple(str(names_of(plain, choices)["loss"]).split("+")),
        fits=tuple(name for name, terms in losses.items() if _feeds(given, terms)),
        parameters=sum(p.numel() for p in model.parameters()),
        latent=prod(model.latent_shape),
    )


def _built(cfg: DictConfig) -> Any:
    """The autoencoder without its numbers, unless building it takes numbers."""
    import torch

    from aetl.stage.pretrain import build_autoencoder

    try:
        with torch.device("meta"):
            return build_autoencoder(cfg, SHAPE, CLASSES)
    except (NotImplementedError, RuntimeError):
        return build_autoencoder(cfg, SHAPE, CLASSES)


def _feeds(given: set[str], terms: Mapping[str, type[LossTerm]]) -> bool:
    from aetl.loss.objective import refuse_misfit
    from aetl.types import UserError

    try:
        refuse_misfit(terms, given, "")
    except UserError:
        return False
    return True


def _losses() -> dict[str, dict[str, type[LossTerm]]]:
    """The classes of the terms of each option of ``loss=``, read from the files alone."""
    files = {file.stem: file for file in (conf_dir() / "loss").glob("[!_]*.yaml")}
    return {
        name: {target: locate(f"loss={name}", target) for target in _targets(name, files)}
        for name in files
    }


def _targets(name: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The classes that an option names itself, or else those of its defaults."""

    node = parsed_yaml(files[name]) or {}
    if "_target_" in node:
        yield node["_target_"]
        return
    for other in node.get("defaults", []):
        if other != "_self_":
            yield from _targets(other, files)


def _comment(file: Path) -> str:
    """The first comment that is no directive of hydra's."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = (line for line in lines if line.startswith("#") and not line.startswith("# @"))
    return next(found, "").lstrip("# ")


def _cited(line: str) -> tuple[str, str]:
    """``What it is (who, when).`` in its two parts."""
    found = re.fullmatch(r"(.*?)\s*\(([^()]*\b(?:19|20)\d\d\b[^()]*)\)\.?", line)
    return (found[1], found[2]) if found else (line.rstrip("."), "")
