"""What one option of a config group is: its class, equation, paper, parameters and ranges.

Read from what the option already consists of (the comments of its YAML, the docstrings and the
annotated constructors of the classes that it names), so that the reference cannot say otherwise
than the program does. ``aetl ls GROUP/NAME`` shows it, ``make docs`` makes a page of a group.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml

from aetl.config import HYDRA_KEYS, ConfigError, conf_dir, locate, nearest, parameters_of
from aetl.foreign import parsed_yaml
from aetl.ranges import described
from aetl.types import Kind

FACTS = {
    "unit": "unit",
    "kind": "kind of task",
    "kinds": "takes",
    "tasks": "tasks",
    "uses": "sees",
    "needs": "needs of the autoencoder",
    "support": "values of the data",
    "role": "part of a bound",
    "prior": "prior",
    "higher_is_better": "higher is better",
    "rope": "rope",
}
"""What a class says of itself for the checks of fit, in words."""
TASKS = frozenset(get_args(Kind))
COMMAND = re.compile(r"(\w+=\S+ )*(aetl|pip) ")
PLUGIN = "hydra_plugins.aetl_process"
"""Under which name hydra knows our launchers and sweepers."""


@dataclass(frozen=True)
class Parameter:
    """A key that the option sets: its default there, what it takes, and what its comment says."""

    key: str
    default: str
    takes: str
    meaning: str


@dataclass(frozen=True)
class Part:
    """A class that the option builds: where, what it says of itself, and its parameters."""

    path: str
    target: str
    text: str
    facts: Mapping[str, str]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Option:
    """An option of a config group."""

    group: str
    name: str
    comment: str
    call: str
    brings: tuple[str, ...]
    parts: tuple[Part, ...]
    settings: tuple[Parameter, ...] = field(default=())

    @property
    def title(self) -> str:
        return f"{self.group}/{self.name}"


def option(title: str, config_dirs: Iterable[str] = ()) -> Option:
    """The option ``GROUP/NAME``; ``ConfigError`` where there is none."""
    group, _, name = title.rpartition("/")
    for root in [*map(Path, config_dirs), conf_dir()]:
        file = root / group / f"{name}.yaml"
        if group and file.is_file():
            return _option(file, group)
    known = [file.stem for file in (conf_dir() / group).glob("[!_]*.yaml")]
    raise ConfigError(f"ls {title}: no such option; {nearest(name, known)}")


def _option(file: Path, group: str) -> Option:
    text = file.read_text(encoding="utf-8")
    node = _merged(file)
    prefix = _package(text, group)
    comments = _meanings(file)
    parts = tuple(_parts(prefix, node, comments))
    return Option(
        group=group,
        name=file.stem,
        comment=_comment(text),
        call=f"aetl {_choice(group, file.stem)}",
        brings=tuple(_brought(node.get("defaults", []), group)),
        parts=parts,
        settings=tuple(_settings(prefix, node, comments)),
    )


def _merged(file: Path) -> dict[str, Any]:
    """The file's own keys over those of the files of its folder that it starts from."""
    node = parsed_yaml(file) or {}
    found: dict[str, Any] = {}
    for other in node.get("defaults", []):
        beside = file.with_name(f"{other}.yaml") if isinstance(other, str) else None
        if beside is not None and other != "_self_" and beside.is_file():
            base = _merged(beside)
            if _package(beside.read_text(encoding="utf-8"), "") == _package(
                file.read_text(encoding="utf-8"), ""
            ):
                found |= {key: value for key, value in base.items() if key != "defaults"}
    return found | node


def _package(text: str, group: str) -> str:
    """Under which key the file's own stand: ``_global_`` is the root, a data set has two."""
    named = re.match(r"# @package (\S+)", text)
    if named:
        return "" if named[1] == "_global_" else named[1]
    return {"dataset": "source"}.get(group, group.replace("/", "."))


def _choice(group: str, name: str) -> str:
    """How the option is chosen on the command line."""
    if group == "dataset":
        return f"dataset@source={name}"
    outer, _, inner = group.partition("/")
    return f"transfer={inner}/{name}" if outer == "transfer" else f"{group}={name}"


def _comment(text: str) -> str:
    """The comment at the head of the file."""
    lines = []
    for line in text.splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return "\n".join(lines)


def _meanings(file: Path) -> dict[str, str]:
    """What stands behind ``#`` in a line of the file, or of those it starts from, by its key."""
    node = parsed_yaml(file) or {}
    found: dict[str, str] = {}
    for other in node.get("defaults", []):
        if isinstance(other, str) and other != "_self_":
            beside = file.with_name(f"{other}.yaml")
            found |= _meanings(beside) if beside.is_file() else {}
    for line in file.read_text(encoding="utf-8").splitlines():
        named = re.match(r"\s*(\w+):[^#]*\s#\s*(.*)", line)
        if named:
            found[named[1]] = named[2]
    return found


def _brought(defaults: Iterable[Any], group: str) -> Iterator[str]:
    """``GROUP=OPTION`` of what the option chooses besides itself."""
    for other in defaults:
        if isinstance(other, Mapping):
            for key, value in other.items():
                yield f"{str(key).removeprefix('override ').lstrip('/')}={_short(value)}"
        elif other != "_self_" and not other.startswith("_"):
            yield f"{group}={other}"


def _parts(path: str, node: Any, comments: Mapping[str, str]) -> Iterator[Part]:
    """Every class that the node builds, itself first."""
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get("_target_"), str):
        yield _part(path, node, comments)
    for key, value in node.items():
        if key != "defaults":
            yield from _parts(_join(path, key), value, comments)


def _part(path: str, node: Mapping[str, Any], comments: Mapping[str, str]) -> Part:
    name = node["_target_"]
    target = locate(path, name.replace(PLUGIN, "aetl.multirun.plugin"))
    hints = parameters_of(name, target)
    return Part(
        path=path,
        target=name,
        text=_text(target) if name.startswith("aetl.") else "",
        facts=_facts(target),
        parameters=tuple(
            Parameter(
                _join(path, key), _short(value), _takes(hints.get(key)), comments.get(key, "")
            )
            for key, value in node.items()
            if key not in {*HYDRA_KEYS, "defaults"}
            and not (isinstance(value, Mapping) and "_target_" in value)
        ),
    )


def _settings(
    path: str, node: Mapping[str, Any], comments: Mapping[str, str]
) -> Iterator[Parameter]:
    """The values that the file sets elsewhere than in a class of its own."""
    if "_target_" in node:
        return
    for key, value in node.items():
        if key == "defaults":
            continue
        if isinstance(value, Mapping) and value:
            yield from _settings(_join(path, key), value, comments)
        else:
            yield Parameter(_join(path, key), _short(value), "", comments.get(str(key), ""))


def _text(target: Any) -> str:
    """The docstring of the module, which cites, and that of the class or function."""
    module = inspect.getdoc(sys.modules[target.__module__]) or ""
    own = target.__doc__
    return "\n\n".join(part for part in (module, inspect.cleandoc(own) if own else "") if part)


def _facts(target: Any) -> dict[str, str]:
    found = {}
    for name, words in FACTS.items():
        value = getattr(target, name, None)
        if value is None or callable(value) or isinstance(value, property):
            continue
        if isinstance(value, frozenset):
            if value:
                words = FACTS["tasks"] if value <= TASKS else words
                found[words] = ", ".join(sorted(str(item).replace("_", " ") for item in value))
        else:
            found[words] = {True: "yes", False: "no"}.get(value, str(value))
    return found


def _takes(hint: Any) -> str:
    return "" if hint is None or hint is Any else described(hint)


def _short(value: Any) -> str:
    """A value as one writes it on the command line."""
    if isinstance(value, str):
        return value if value.strip() else repr(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def markdown(found: Option, level: int = 1) -> str:
    """An option as Markdown, with its title as a heading of that level."""
    blocks = [f"{'#' * level} {found.title}", *_comment_blocks(found.comment)]
    if not any(block.startswith("    ") for block in blocks):
        blocks.append(f"    {found.call}")
    if found.brings:
        blocks.append(f"It brings {', '.join(f'`{choice}`' for choice in found.brings)}.")
    for part in found.parts:
        blocks += _part_blocks(part)
    if found.settings:
        blocks += [_table(found.settings)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _comment_blocks(comment: str) -> Iterator[str]:
    """The paragraphs of a comment; lines that are commands are blocks of code."""
    kinds = itertools.groupby(comment.splitlines(), lambda line: bool(COMMAND.match(line)))
    for is_command, lines in kinds:
        if is_command:
            yield "\n".join(f"    {line}" for line in lines)
        else:
            yield "\n".join(lines).strip("\n")


def _part_blocks(part: Part) -> Iterator[str]:
    where = f"`{part.path}` is " if part.path else ""
    yield f"{where}`{part.target}`"
    yield part.text
    if part.facts:
        yield "\n".join(f"- {words}: {value}" for words, value in part.facts.items())
    if part.parameters:
        yield _table(part.parameters)


def _table(parameters: Iterable[Parameter]) -> str:
    rows = [("key", "default", "takes", "meaning"), ("---",) * 4]
    rows += [(f"`{p.key}`", f"`{p.default}`", p.takes, p.meaning) for p in parameters]
    used = [i for i in range(4) if any(row[i] for row in rows[2:])]
    return "\n".join(
        "| " + " | ".join(row[i].replace("|", "\\|") for i in used) + " |" for row in rows
    )
