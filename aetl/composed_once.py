"""Files of the config are parsed once in a process, and the same choices composed once.

Hydra parses some thirty files for each composition, and a sweep composes each of its jobs. Most of
them make the same choices of files and differ in values, which hydra puts onto what it composed.
"""

from __future__ import annotations

import codecs
import copy
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra._internal.hydra
import omegaconf.base
from hydra._internal import defaults_list as defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    IConfigRepository,
)
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.base import Box, ContainerMetadata

from aetl.foreign import Unreadable, told_by_line

_PARSED: dict[Any, ConfigResult | None] = {}
_COMPOSED: dict[Any, DictConfig] = {}
"""What is handed out are copies."""
_AT_MOST = 1000
"""So many compositions are kept, of some 300 nodes each."""

# OmegaConf parses a formula each time that it is read; its trees are not written to.
omegaconf.base.parse = lru_cache(10_000)(omegaconf.base.parse)  # type: ignore[attr-defined]


Known = tuple[dict[Any, ConfigResult | None], dict[Any, DictConfig]]
"""What a process has parsed and composed."""


def remembered() -> Known:
    """For ``remember`` in another process."""
    return _PARSED, _COMPOSED


def remember(known: Known) -> None:
    """Take over what another process has parsed and composed of the same files."""
    _PARSED.update(known[0])
    _COMPOSED.update(known[1])


def _copy_of_result(found: ConfigResult | None) -> ConfigResult | None:
    if found is None:
        return None
    return replace(
        found, config=_copy_of_node(found.config, None), header=dict(found.header),
        defaults_list=copy.deepcopy(found.defaults_list),
    )  # fmt: skip


def _copy_of_node(node: Any, parent: Any) -> Any:
    """A tree of OmegaConf's, in a small part of the time of its own deep copy."""
    new = object.__new__(type(node))
    new.__dict__.update(node.__dict__)
    data = copy.copy(node._metadata)
    data.flags = None if data.flags is None else dict(data.flags)
    if isinstance(data, ContainerMetadata):
        data.resolver_cache = copy.deepcopy(data.resolver_cache)
    new.__dict__.update(_metadata=data, _parent=parent, _flags_cache=None)
    content = node.__dict__.get("_content")
    if isinstance(content, dict):
        new.__dict__["_content"] = {k: _copy_of_node(v, new) for k, v in content.items()}
    elif isinstance(content, list):
        new.__dict__["_content"] = [_copy_of_node(v, new) for v in content]
    return new


class _ParsedOnce(ConfigRepository):
    """Hands out copies, since hydra writes into what it gets."""

    def __init__(self, other: ConfigRepository) -> None:
        # Not hydra's constructor: a process that got its loader from another has no plugins yet.
        self.sources = list(other.sources)

    def load_config(self, config_path: str) -> Any:
        """The parsed file of a group's option with its defaults, as hydra's own repository."""
        key = (config_path, *_places(self))
        if key not in _PARSED:
            file = self._file(config_path)
            with told_by_line(file):
                found = super().load_config(config_path)
            _refuse_odd(file, found)
            _PARSED[key] = found
        return _copy_of_result(_PARSED[key])

    def _file(self, config_path: str) -> Path:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        return Path(source.path if source else "", f"{config_path.removesuffix('.yaml')}.yaml")

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """A group's options, with those of the groups inside it: ``glob(control/*)``."""
        found = super().get_group_options(group_name, results_filter)
        if results_filter is ObjectType.CONFIG:
            for inner in super().get_group_options(group_name, ObjectType.GROUP):
                below = self.get_group_options(f"{group_name}/{inner}", results_filter)
                found += [f"{inner}/{option}" for option in below]
        return found

    def __deepcopy__(self, memo: object) -> _ParsedOnce:
        # For each composition hydra takes a copy, to which it may give other sources.
        return _ParsedOnce(self)


def _refuse_odd(file: Path, found: Any) -> None:
    """``Unreadable`` for a file that hydra would read, and take for something else."""
    if found is None or not file.is_file():
        return
    if not isinstance(found.config, DictConfig):
        raise Unreadable(f"{file}: expected KEY: VALUE, and it is a list")
    with file.open("rb") as opened:
        if opened.read(3) == codecs.BOM_UTF8:  # hydra does not see the header behind it
            raise Unreadable(f"{file}: begins with a byte order mark; save it as UTF-8 without one")


def _places(repository: IConfigRepository) -> list[tuple[str, str]]:
    return [(source.provider, source.path) for source in repository.get_sources()]


class _ComposedOnce(ConfigLoaderImpl):
    """A loader that composes each set of choices once, and puts values onto a copy."""

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed = [_override(line) for line in overrides]
        repository = CachingConfigRepository(self.repository)
        self._process_config_searchpath(config_name, parsed, repository)
        return parsed, repository

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        with _parents_later():
            cfg = super()._compose_config_from_defaults_list(defaults, repo)
        cfg._re_parent()
        return cfg

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        key = (default.config_path, default.package, default.primary, *_places(repo))
        if key not in _PARSED:
            _PARSED[key] = super()._load_single_config(default, repo)
        found = _copy_of_result(_PARSED[key])
        assert found is not None
        return found

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        parsed, repository = self._parse_overrides_and_create_caching_repo(config_name, overrides)
        if validate_sweep_overrides:
            self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        values = [o for o in parsed if _is_value(o, repository)]
        choices = [str(o.input_line) for o in parsed if o not in values]
        key = (config_name, run_mode, JobRuntime().get("name"), *_places(repository), *choices)
        if key not in _COMPOSED:
            if len(_COMPOSED) >= _AT_MOST:
                _COMPOSED.clear()
            with _choices_where_asked():
                _COMPOSED[key] = super()._load_configuration_impl(
                    config_name, choices, run_mode, from_shell
                )
        cfg: DictConfig = _copy_of_node(_COMPOSED[key], None)
        self._apply_overrides_to_config([o for o in values if not o.is_sweep_override()], cfg)
        _tell(cfg, parsed)
        return cfg


@contextmanager
def _parents_later() -> Iterator[None]:
    """OmegaConf tells every node its parent anew after each merge, half of a merge's time."""
    tell = Box._re_parent
    Box._re_parent = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Box._re_parent = tell  # type: ignore[method-assign]


@lru_cache(10_000)
def _override(line: str) -> Override:
    (parsed,) = OverridesParser.create().parse_overrides([line])
    return parsed


@contextmanager
def _choices_where_asked() -> Iterator[None]:
    """Hydra gathers all choices so far at each file, for interpolations in its list of defaults: a
    third of its time, and hardly a file has one."""
    gather = defaults._create_interpolation_map

    def gathered(overrides: Any, defaults_list: Any, self_added: bool) -> DictConfig:
        if any(default.is_interpolation() for default in defaults_list):
            return gather(overrides, defaults_list, self_added)
        return DictConfig({})

    defaults._create_interpolation_map = gathered
    try:
        yield
    finally:
        defaults._create_interpolation_map = gather


def _is_value(override: Override, repository: IConfigRepository) -> bool:
    """Whether hydra puts it onto the composed config, rather than choose a file by it."""
    if override.key_or_group == "hydra.searchpath":
        return False
    if override.is_sweep_override():
        return not repository.group_exists(override.key_or_group)
    is_node = isinstance(override.value(), dict)
    return is_node or not repository.group_exists(override.key_or_group)


def _tell(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """What hydra notes of the command line and of the moment."""
    job = cfg.hydra.job
    cfg.hydra.overrides.hydra = [o.input_line for o in overrides if o.is_hydra_override()]
    tell_job(cfg, [o for o in overrides if not o.is_hydra_override()])
    with open_dict(job):
        for variable in job.env_copy:
            job.env_set[variable] = os.environ[variable]
    cfg.hydra.runtime.cwd = os.getcwd()


def tell_job(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """What hydra notes of the overrides that are not its own."""
    with read_write(cfg.hydra):
        cfg.hydra.overrides.task = [o.input_line for o in overrides]
        names = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            list(overrides), names.exclude_keys, names.item_sep, names.kv_sep
        )


def is_value(loader: ConfigLoader, override: Override) -> bool:
    """Whether hydra puts an override onto what it composed, rather than choose a file by it."""
    assert isinstance(loader, ConfigLoaderImpl)
    return _is_value(override, loader.repository)


def put_values(overrides: Sequence[Override], cfg: DictConfig) -> None:
    """Put overrides onto a composed config, as hydra does."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), cfg)


def composed_once(loader: ConfigLoader) -> ConfigLoader:
    """A loader of hydra's, let remember what it parsed and composed."""
    if not isinstance(loader, _ComposedOnce):
        assert isinstance(loader, ConfigLoaderImpl)
        other = loader
        loader = _ComposedOnce.__new__(_ComposedOnce)  # hydra's constructor reads its plugins
        loader.config_search_path = other.config_search_path
        loader.repository = _ParsedOnce(other.repository)
    return loader


class _ComposingOnce(Hydra):
    """Hydra's program with such a loader."""

    def __init__(self, task_name: str, config_loader: ConfigLoader) -> None:
        super().__init__(task_name, composed_once(config_loader))

    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        """What the config says of ``hydra.mode``. Hydra composes it as for a multirun, which the
        run is not, so that there would be two compositions."""
        if {"-m", "--multirun"} & set(sys.argv):
            return super().get_mode(config_name, overrides)
        try:
            cfg = self.compose_config(
                config_name, overrides, RunMode.RUN, validate_sweep_overrides=False
            )
        except Exception:  # a choice of several files, or a mistake that is told later
            return super().get_mode(config_name, overrides)
        return cfg.hydra.mode


@contextmanager
def composing_once() -> Iterator[None]:
    """Within, ``hydra.main`` composes each set of choices once."""
    hydra._internal.hydra.Hydra = _ComposingOnce  # type: ignore[misc]
    try:
        yield
    finally:
        hydra._internal.hydra.Hydra = Hydra  # type: ignore[misc]
