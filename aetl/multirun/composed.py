"""A job's config, as hydra's own launchers make it; jobs that differ in values are composed once.

Of a sweep's jobs most override the same keys by other numbers. The first of them is composed, and
the values of the next ones are put onto its config: what they say themselves, and what is worked
out from them (``${...}``), is then read anew, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from aetl.composed_once import is_value, put_values, tell_job
from aetl.config import holes_told, resolved

Place = tuple[str | int, ...]
_AT_MOST = 64
"""So many kinds of jobs are kept, each with its config."""


@dataclass
class Composed:
    """A job's config: ``plain`` resolved, ``asked`` as the files and the command line say it.

    They are lent until the next job is composed.
    """

    plain: dict[str, Any]
    asked: dict[str, Any]
    hydra: dict[str, Any]
    """Hydra's node, as ``asked``."""
    folder: Path
    config: DictConfig
    said: Sequence[Override]
    """Its overrides."""
    following: dict[tuple[Place, ...], list[Place]] = field(default_factory=dict)
    """What is worked out of places whose values changed."""


class Composer:
    """Of the jobs of one sweep. ``config`` is the sweep's own, ``folder`` the sweep's."""

    def __init__(self, loader: ConfigLoader, config: DictConfig, folder: Path) -> None:
        self.loader, self.config, self.folder = loader, config, folder
        self._kept: dict[tuple[str, ...], Composed] = {}
        self._parsed: dict[str, tuple[Override, bool]] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> Composed:
        """The config of a job."""
        read = [self._parse(line) for line in overrides]
        parsed = [override for override, _ in read]
        values = [override for override, is_plain in read if is_plain]
        kind = tuple(o.key_or_group if o in values else str(o.input_line) for o in parsed)
        known = self._kept.get(kind)
        if known is not None and all(_holds(known.asked, _place(o)) for o in values):
            self._put(known, number, parsed, values)
            return known
        found = self._new(number, parsed)
        if len(self._kept) >= _AT_MOST:
            self._kept.clear()
        self._kept[kind] = found
        return found

    def _parse(self, line: str) -> tuple[Override, bool]:
        """An override, and whether it is plain."""
        if line not in self._parsed:
            (override,) = OverridesParser.create().parse_overrides([line])
            self._parsed[line] = override, self._is_plain(override)
        return self._parsed[line]

    def _is_plain(self, override: Override) -> bool:
        """Whether it gives a key that is there another number, word or null."""
        if override.is_add() or override.is_delete() or override.is_force_add():
            return False
        value = override.value()
        if override.is_hydra_override() or not is_value(self.loader, override):
            return False
        if isinstance(value, str):
            return "$" not in value and value != "???"
        return value is None or isinstance(value, bool | int | float)

    def _new(self, number: int, parsed: Sequence[Override]) -> Composed:
        lines = [str(o.input_line) for o in parsed]
        config: DictConfig = self.loader.load_sweep_config(self.config, lines)
        with read_write(config), open_dict(config):
            config.hydra.mode = RunMode.MULTIRUN
            config.hydra.sweep.dir = str(self.folder)
        self._number(config, number)
        asked = OmegaConf.to_container(config, enum_to_str=True)
        assert isinstance(asked, dict)
        hydra = asked.pop("hydra")
        own: dict[str, Any] = {str(key): value for key, value in asked.items()}
        folder = Path(hydra["runtime"]["output_dir"])
        plain = resolved(config)
        return Composed(plain, own, hydra, folder, config, parsed)

    def _number(self, config: DictConfig, number: int) -> str:
        """Write a job's number and its folder, which may be made of it, into hydra's node."""
        with read_write(config), open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        hydra_node: Any = HydraConfig.instance()
        hydra_node.cfg = config  # for ${hydra:...}, which the subfolder may hold
        folder = str(self.folder / str(config.hydra.sweep.subdir))
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.runtime.output_dir = folder
        return folder

    def _put(
        self, job: Composed, number: int, parsed: Sequence[Override], values: Sequence[Override]
    ) -> None:
        other = {o.key_or_group for o, was in zip(parsed, job.said, strict=True) if o is not was}
        changed = [o for o in values if o.key_or_group in other]
        job.said = parsed
        put_values(changed, job.config)
        tell_job(job.config, parsed)
        job.folder = Path(self._number(job.config, number))
        node = job.config.hydra.job
        job.hydra["overrides"]["task"] = [o.input_line for o in parsed]
        job.hydra["job"] |= {name: node[name] for name in ("id", "num", "override_dirname")}
        job.hydra["runtime"]["output_dir"] = str(job.folder)
        places = tuple(map(_place, changed))
        if places not in job.following:
            job.following[places] = _following(job.asked, places)
        with holes_told():
            for place in places:
                value = _read(job.config, place)
                _set(job.asked, place, value)
                _set(job.plain, place, value)
            for place in job.following[places]:
                _set(job.plain, place, _read(job.config, place))


def _place(override: Override) -> Place:
    return tuple(override.key_or_group.split("."))


def _holds(asked: Any, place: Place) -> bool:
    """Whether a value stands there, which is no node of others."""
    for part in place:
        if not isinstance(asked, dict) or part not in asked:
            return False
        asked = asked[part]
    return not isinstance(asked, dict | list)


_OTHER = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""A formula that is another value, by its name from the root."""


def _following(asked: Mapping[str, Any], changing: Sequence[Place]) -> list[Place]:
    """Where the formulas stand whose values may change with those of ``changing``: all but the
    ones that are plainly another value, which does not."""
    formulas = dict(_formulas(asked))
    moved = set(changing)
    while True:
        new = {
            place for place, text in formulas.items() if place not in moved and _moves(text, moved)
        }
        if not new:
            return [place for place in formulas if place in moved]
        moved |= new


def _moves(formula: str, moved: set[Place]) -> bool:
    found = _OTHER.fullmatch(formula)
    if found is None:
        return True
    other = tuple(found[1].split("."))
    return any(other == one[: len(other)] or one == other[: len(one)] for one in moved)


def _formulas(node: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Where ``${...}`` stands."""
    if isinstance(node, str):
        if "${" in node:
            yield place, node
    elif isinstance(node, Mapping | list):
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _formulas(value, (*place, key))


def _read(config: Any, place: Place) -> Any:
    for part in place:
        config = config[part]
    if OmegaConf.is_config(config):
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return config


def _set(node: Any, place: Place, value: Any) -> None:
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
