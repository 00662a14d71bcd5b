"""Runs that ``wandb agent`` starts: what it passes on the command line, and what it has logged.

Nothing heavy is imported here: the command line asks before it knows its command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aetl.config import ConfigError


def is_agents() -> bool:
    """Whether an agent started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def agent_arguments(arguments: Sequence[str]) -> list[str]:
    """The overrides among an agent's arguments: ``--x=y`` (its ``${args}``) is ``x=y``.

    A run that is resumed gets its whole config back as arguments, each node as the text of a
    dictionary, and ``_wandb`` among them. The sweep's own parameters are the plain values there
    (see ``beside_the_sweeps``); nodes follow from them.
    """
    if "-m" in arguments or "--multirun" in arguments:
        raise ConfigError("-m: a W&B agent gives each run its own parameters; leave it out")
    pairs = [_PAIR.fullmatch(argument) for argument in arguments]
    resumed = any(pair and pair["key"] == "_wandb" for pair in pairs)
    kept = []
    for argument, pair in zip(arguments, pairs, strict=True):
        if pair is None or pair["key"] in _HYDRAS:
            kept.append(argument)
            continue
        key, value = pair["key"], pair["value"]
        is_node = value.startswith("{'")  # Python's text; hydra's own has no quotes there
        if key == "_wandb" or (resumed and (is_node or value == "{}" or key in _INSTALLED)):
            continue
        if is_node:
            raise ConfigError(
                f"{key}={value}: nested parameters of a W&B sweep are not known here; "
                f"name them with a dot, as in {key}.KEY"
            )
        kept.append(f"{pair['sign'] or ''}{key}={'null' if value == 'None' else value}")
    return kept


_PAIR = re.compile(r"(?:--)?(?P<sign>\+{0,2})(?P<key>[A-Za-z_][\w.@/]*)=(?P<value>.*)", re.DOTALL)
_HYDRAS = {"config-dir", "config-path", "config-name", "cfg", "package", "info"}
_INSTALLED = {"wandb_version", "data_dir", "output_dir"}  # of the machine, not of the run


def beside_the_sweeps(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config without what an agent has put there already, under the sweep's own names.

    The sweep's search looks for ``optimizer.lr`` and ``autoencoder`` as it named them, plain. So
    these stay, the leaf ``lr`` leaves our node ``optimizer``, and our node ``autoencoder``, whose
    place is taken by the name of the option, moves below ``chosen``: each value is there once.
    """
    kept = dict(config)
    for name in _parameters():
        if name in kept and isinstance(kept[name], Mapping):
            kept["chosen"] = {**kept.get("chosen", {}), name: kept.pop(name)}
        else:
            kept = without(kept, name.split("."))
    return kept


def without(node: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A copy of nested dictionaries without the value at ``path``; none there: nothing is gone."""
    head, *rest = path
    copy = dict(node)
    if not rest:
        copy.pop(head, None)
    elif isinstance(copy.get(head), Mapping):
        copy[head] = without(copy[head], rest)
    return copy


def _parameters() -> list[str]:
    path = Path(os.environ.get("WANDB_SWEEP_PARAM_PATH", ""))
    if not is_agents() or not path.is_file():
        return []
    import yaml

    return [name for name in yaml.safe_load(path.read_text()) or {} if name not in _META]


_META = {"wandb_version", "_wandb"}
