"""Mistakes on the command line: one line each, with the right way, which is read off the config.

No list of cases: what a misspelt or misplaced key may have meant is sought among the groups, the
places of their options and the keys of the composed config.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.config import HYDRA_KEYS, SLOTS, ConfigError, UnknownKey, compose, conf_dir, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SHOWN = 3
"""So many keys of the same name are told."""


def typed(overrides: Iterable[str]) -> list[str]:
    """Overrides as hydra takes them: ``~`` in front of a path is the home folder.

    Raises ConfigError for what is none, where hydra would name a class of its parser.
    """
    return [_readable(_at_home(text)) for text in overrides]


def split_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options of hydra's command line (with their values) and overrides, in whatever order."""
    from hydra._internal.utils import get_args_parser

    known = get_args_parser()._option_string_actions
    options, overrides = [], []
    rest = iter(arguments)
    for argument in rest:
        name, sign, _ = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif name not in known:
            bare = argument.lstrip("-")
            meant = not sign and difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            way = f"did you mean '{meant[0]}'?" if meant else f"a key has no dashes: {bare}"
            way += "" if meant or sign else "=..."
            raise ConfigError(f"{argument}: no such option; {way}")
        elif known[name].nargs is None and not sign:
            value = next(rest, None)
            if value is None:
                raise ConfigError(f"{argument}: expects a value")
            options += [argument, value]
        else:
            options.append(argument)
    return options, overrides


def no_command(arguments: Sequence[str], known: Sequence[str]) -> str:
    """The line for a first word that is no command: ``autoencoder vae``, ``seed: 1``, ``run ...``
    are meant as a run, which has none."""
    word, *rest = arguments
    key, _, value = word.partition(":")
    text = (conf_dir() / "config.yaml").read_text("utf-8")
    known_keys = {*os.listdir(conf_dir()), *re.findall(r"(?m)^(?:.*@)?(\w+):", text)}
    if re.split(r"[.@]", key)[0] in known_keys:
        value = value or next((text for text in rest if text not in ("=", ":")), "...")
        return f"{word}: expected KEY=VALUE without blanks, as in {key}={value}"
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.8)
    if not close and rest and all("=" in text for text in rest):
        return f"{word}: no such command; a run has none: aetl {shlex.join(rest)}"
    return f"{word}: no such command; {nearest(word, known)}"


def _at_home(text: str) -> str:
    """``source.path=~/images`` with the folder: shells expand ``~`` at the start of a word."""
    key, sign, value = text.partition("=")
    if not sign or not re.match(r"~[\w.-]*(/|$)", value):
        return text
    return f"{key}={_quoted(os.path.expanduser(value))}"


def _quoted(value: str) -> str:
    """As hydra's grammar has a text that it takes for nothing else."""
    if re.fullmatch(r"[\w./@%-]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _readable(text: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, sign, value = text.partition("=")
    bare = key.lstrip("+~")
    if value == "null" and bare in ("loss", "metric", "transfer", "score"):  # lists of choices
        way = "score=[] is none" if bare == "score" else "at least one is needed"
        raise ConfigError(f"{text}: is no choice; {way}, and {bare}=[...] is several")
    if not bare or (not sign and not text.startswith("~")):
        raise ConfigError(f"{text}: expected KEY=VALUE{_example(text)}")
    if not text.isprintable() and text.encode("utf-8", "ignore").decode() != text:
        raise ConfigError(f"{text}: is no UTF-8, in which configs and records are kept; rename it")
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        raise ConfigError(_unreadable(text, key, value)) from None
    return text


def _example(text: str) -> str:
    """``, as in seed=...`` where a key is meant."""
    word = re.split(r"[\s=]", text.strip("= "))[0]
    if not word:
        return ""
    return f", as in {word}=..." if re.fullmatch(r"[A-Za-z_][\w.@/]*", word) else ""


def _unreadable(text: str, key: str, value: str) -> str:
    if value.count("[") != value.count("]") or value.count("{") != value.count("}"):
        return f"{text}: a bracket is not closed; a text with brackets: {_as_text(key, value)}"
    if not re.fullmatch(r"[+~]{0,2}[\w./@:-]+", key):
        return f"{text}: '{key}' is no key; expected KEY=VALUE"
    return f"{text}: has signs with a meaning of their own; as a text: {_as_text(key, value)}"


def _as_text(key: str, value: str) -> str:
    """The override as it is typed in a shell, so that the value is a text."""
    bare = value.strip("\"'")
    return shlex.quote(f'{key}="{bare}"')


def explain(error: BaseException) -> str | None:
    """One line for a mistake that hydra or omegaconf found; ``None`` for anything else."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if isinstance(error, UnknownKey) and "." not in error.key:
        return f"{error.key}: unknown key; {right_key(error.key)}"
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _no_option(str(error.missing_cfg_file), error.options or [])
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"{error.full_key}: is missing; set {error.full_key}=..."
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return (
            "null: no choice of loss, metric, transfer or score, which take lists: score=[] is "
            "none, and the others need at least one"
        )
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_override(error)
    return None


def _no_option(file: str, options: Iterable[str]) -> str:
    """An option that a group lacks, and the one that is meant: also one of a group inside it."""
    group, _, name = file.partition("/")
    if re.match(r"[./~]", name):
        having = _options_with(conf_dir() / group, "path")
        way = f"files of your own are {_or(having)} with a path" if having else "it is no path"
        return f"{group}={name}: no such option; {way}"
    group, _, name = file.rpartition("/")
    folder = conf_dir() / group
    below = {
        path.relative_to(folder).with_suffix("").as_posix(): None for path in folder.rglob("*.yaml")
    }
    known = [option for option in {**dict.fromkeys(options), **below} if _stem(option)[0] != "_"]
    meant = [option for option in known if _stem(option).lower() == name.lower()]
    if not meant:
        stems = {_stem(option).lower(): option for option in known}
        close = difflib.get_close_matches(name.lower(), stems, n=1, cutoff=0.5)
        meant = [stems[word] for word in close] or [o for o in known if name and name in o]
    way = f"did you mean '{meant[0]}'?" if meant else nearest(name, known)
    return f"{group}={name}: no such option; {way}"


def _stem(option: str) -> str:
    return option.rpartition("/")[2]


def _explain_override(error: BaseException) -> str:
    text = str(error)
    if several := re.search(r"Ambiguous value for argument '(.*?)'\n", text, re.DOTALL):
        return _several(several[1])
    if there := re.search(r"An item is already at '([^']+)'", text):
        return f"+{there[1]}: the key is there already; leave out the +"
    if key := re.search(r"Could not override '([^']+)'", text):
        value = re.search(rf"\+{re.escape(key[1])}=([\w/]+)$", text, re.MULTILINE)
        return f"{key[1]}: unknown key; {right_key(key[1], value[1] if value else '')}"
    if refused := re.search(r"NoPlace raised while resolving interpolation: (.*)", text):
        return refused[1]
    first = first_line(error)
    while error.__cause__ is not None:  # what a resolver of ours refused
        error = error.__cause__
        if isinstance(error, ConfigError) or getattr(error, "of_user", False):
            return str(error)
    cause = first_line(error)
    return first if cause in first else f"{first} ({cause})"


def _several(text: str) -> str:
    """``seed=0,1`` without ``-m``: a list, a text, or a multirun."""
    from omegaconf import ListConfig, OmegaConf

    key, _, value = text.partition("=")
    now = OmegaConf.select(compose([]), key.partition("@")[0], throw_on_resolution_failure=False)
    if isinstance(now, ListConfig):
        return f"{text}: a list has brackets: {shlex.quote(f'{key}=[{value}]')}"
    also = f"; as one text: {_as_text(key, value)}" if isinstance(now, str) else ""
    return f"{text}: several values are a multirun: aetl -m {shlex.quote(text)}{also}"


def right_key(name: str, value: str = "") -> str:
    """What a key that there is not may have meant, from the groups, their options and the default
    config; ``model=vae`` from its value."""
    from omegaconf import OmegaConf

    cfg = compose([])
    groups = [str(group) for group in cfg.hydra.runtime.choices if "hydra/" not in str(group)]
    groups.sort(key=lambda group: ("@" in group, group))
    at_places = [group for group in groups if group.partition("@")[0] == name and "@" in group]
    if at_places:
        return f"did you mean {_or(f'{group}=...' for group in at_places)}?"
    chosen = [group for group in groups if group.endswith(f"@{name}")]
    if chosen:
        return f"what stands there is chosen by {_or(f'{group}=...' for group in chosen)}"
    node, _, last = name.rpartition(".")
    if node and OmegaConf.select(cfg, node) is not None:
        return _in_node(cfg, node, last, groups)
    known = dict(_leaves(cfg))
    same = [key for key in known if key.rpartition(".")[2] == last]
    # Of keys that take each other's value, the one that they take it from.
    own = [key for key in same if not str(known[key]).startswith("${")] or same
    if own:
        return f"did you mean {_or(own[:_SHOWN])}?"
    if value and (meant := [*_choosing(value, groups)]):
        return f"did you mean {_or(meant[:_SHOWN])}?"
    close = difflib.get_close_matches(name, [*groups, *known], n=1, cutoff=0.7)
    if not close:
        stems = {key.rpartition(".")[2]: key for key in reversed(list(known))}
        close = [stems[s] for s in difflib.get_close_matches(last, stems, n=1, cutoff=0.7)]
    if close:
        return f"did you mean '{close[0]}'?"
    if meant := [*_choosing(name, groups)]:
        return f"did you mean {_or(meant[:_SHOWN])}?"
    for group in groups:
        if having := _options_with(conf_dir() / group.partition("@")[0], last):
            node = group.rpartition("@")[2]
            return f"{node}.{last} is a key with {group}={_or(having)}"
    return "aetl ls has groups, --cfg job all keys"


def _choosing(name: str, groups: Sequence[str]) -> Iterator[str]:
    """``autoencoder=vae`` for ``vae``, ``transfer=control/scratch`` for ``scratch``, and a group's
    folder of that name, as ``transfer=control/...``."""
    for group in groups:
        folder = conf_dir() / group.partition("@")[0]
        for path in sorted(folder.rglob("*")):
            if path.with_suffix("").name == name.rpartition("/")[2]:
                option = path.relative_to(folder).with_suffix("").as_posix()
                yield f"{group}={option}{'/...' if path.is_dir() else ''}"


def _in_node(cfg: DictConfig, node: str, last: str, groups: Sequence[str]) -> str:
    """The nearest key of the node, or which options of its group have the key."""
    from omegaconf import DictConfig, OmegaConf

    there = OmegaConf.select(cfg, node)
    keys = map(str, there) if isinstance(there, DictConfig) else ()
    known = [key for key in keys if key not in HYDRA_KEYS]
    if not difflib.get_close_matches(last, known, n=1, cutoff=0.6):
        for group in groups:
            if group == node or group.endswith(f"@{node}"):
                having = _options_with(conf_dir() / group.partition("@")[0], last)
                if having:
                    return f"is a key with {group}={_or(having)}"
        if node in SLOTS:
            return f"{nearest(last, known)}; one more is added by +{node}.{last}=..."
    return nearest(last, known)


def _options_with(folder: Path, key: str) -> list[str]:
    """The options of a group whose file has the key; of many those for the user's own."""
    found = re.compile(rf"^{re.escape(key)}:", re.MULTILINE)
    texts = {file.stem: file.read_text("utf-8") for file in sorted(folder.glob("[!_]*.yaml"))}
    having = [name for name, text in texts.items() if found.search(text)]
    own = [name for name in having if texts[name].startswith("# Own ")]
    return own if own and len(having) > _SHOWN else having


def _leaves(cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key, not resolved; runs' own values before those of callbacks."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(
        OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]), resolve=False
    )
    assert isinstance(plain, dict)
    yield from _flat(plain, "")


def _flat(node: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if key in HYDRA_KEYS:
            continue
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)


def first_line(error: BaseException) -> str:
    """The first line of an error that has one, or the name of its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
