"""What a shell may complete: commands, groups, options and keys.

The script that ``aetl completion`` prints asks ``aetl _complete LINE`` at every Tab. So the answers
are read from the YAML files alone, without hydra: a tenth of a second is what a person waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aetl.config import HYDRA_KEYS, conf_dir

OPTIONS = ("-m", "--multirun", "--config-dir", "--cfg", "--debug", "--help")
OF_COMMANDS = {
    "ls": ("--json",), "show": ("--json",), "compare": ("--json", "--csv", "--latex", "--html"),
    "rerun": ("--check",), "sweep": ("status", "resume", "retry"), "store": ("prune", "--json"),
    "completion": ("bash", "zsh", "fish"),
}  # fmt: skip
TAKE_OVERRIDES = ("check", "rank")


def candidates(line: str, commands: Iterable[str]) -> list[str]:
    """What the last word of ``line`` may become; nothing where it is to be a file."""
    words = line.split()
    current = "" if not line or line[-1].isspace() else words.pop()
    given = words[1:]
    command = given[0] if given and given[0] in commands else None
    found: list[str] = []
    if command in OF_COMMANDS:
        found = list(OF_COMMANDS[command]) if len(given) == 1 or current.startswith("-") else []
    elif command is None or command in TAKE_OVERRIDES:
        found = _overrides(current, given)
        if not given:
            found += [name for name in commands if not name.startswith("_")]
        if current.startswith("-") and command is None:
            found += OPTIONS
    return sorted({word for word in found if word.startswith(current)})


def _overrides(current: str, given: list[str]) -> list[str]:
    """Choices and keys, ``group=`` and ``key=``; after the sign of a group, its options."""
    root, config = conf_dir(), _load(conf_dir() / "config.yaml")
    chosen = dict(_defaults(config))
    chosen |= dict(w.lstrip("+").split("=", 1) for w in given if "=" in w)
    groups = [*chosen, *(f"hydra/{name}" for name in ("launcher", "sweeper"))]
    groups = [name for name in dict.fromkeys(groups) if (root / name.partition("@")[0]).is_dir()]
    name, sign, value = current.partition("=")
    if sign:
        if name not in groups:
            return []
        # Of several, the last: transfer=control/scratch,parameter/fi
        head = value[: max(value.rfind(","), value.rfind("[")) + 1]
        return [f"{name}={head}{option}" for option in _options(root / name.partition("@")[0])]
    keys = [f"{group}=" for group in groups] + [f"{key}=" for key in _dotted(config)]
    for group in groups:
        if "." in current or not current:
            keys += [f"{key}=" for key in _keys_of(root, group, str(chosen.get(group, "")))]
    if not current:
        return [key for key in keys if "." not in key]
    return [*keys, *_nodes(keys)] if "." not in current else keys


def _nodes(keys: Iterable[str]) -> set[str]:
    """``pretrain.`` for ``pretrain.lr=``."""
    return {f"{key.partition('.')[0]}." for key in keys if "." in key}


def _options(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.yaml"):
        if not file.name.startswith("_"):
            yield file.relative_to(folder).with_suffix("").as_posix()


def _keys_of(root: Path, group: str, option: str) -> Iterator[str]:
    """The keys that an option of a group brings, where its file says that they go."""
    name, _, place = group.partition("@")
    file = root / name / f"{option.strip('[]').split(',')[0]}.yaml"
    if not file.is_file():
        return
    package = re.search(r"^# @package (\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    at = package.group(1) if package else name.replace("/", ".")
    if place:
        at = place if "." in place else at.rpartition(".")[0] + f".{place}" if "." in at else place
    node = _load(file)
    for parent in node.get("defaults", []):
        if isinstance(parent, str) and parent != "_self_":
            node = _load(file.with_name(f"{parent}.yaml")) | node
    yield from _dotted(node, "" if at == "_global_" else f"{at}.")


def _dotted(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if key in HYDRA_KEYS or key in ("defaults", "hydra"):
            continue
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _defaults(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in config["defaults"]:
        if isinstance(entry, dict):
            for name, option in entry.items():
                yield name.removeprefix("override "), option


def _load(file: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    node = yaml.load(file.read_text(encoding="utf-8"), loader) if file.is_file() else None
    return node if isinstance(node, dict) else {}
