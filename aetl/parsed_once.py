"""Files of the config are parsed once in a process, however many jobs are composed from them.

Hydra parses some thirty files for each composition, and a sweep composes each of its jobs.
"""

from __future__ import annotations

import copy
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType

_PARSED: dict[Any, Any] = {}


class _ParsedOnce(ConfigRepository):
    """Hands out copies, since hydra writes into what it gets."""

    def __init__(self, other: ConfigRepository) -> None:
        # Not hydra's constructor: a process that got its loader from another has no plugins yet.
        self.sources = list(other.sources)

    def load_config(self, config_path: str) -> Any:
        """The parsed file of a group's option with its defaults, as hydra's own repository."""
        key = (config_path, *((source.provider, source.path) for source in self.sources))
        if key not in _PARSED:
            _PARSED[key] = super().load_config(config_path)
        return copy.deepcopy(_PARSED[key])

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


def parse_once(loader: ConfigLoader) -> None:
    """Let a loader of hydra's remember what it parsed."""
    loader.repository = _ParsedOnce(loader.repository)  # type: ignore[attr-defined]
