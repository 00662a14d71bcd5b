"""What a saved config may name: a folder may come from anybody, and data runs no code.

A config names classes, and hydra calls whatever it names. What this user types, or keeps in a
``--config-dir``, is believed. A config out of a folder may name what aetl's own ``conf/`` names,
and nothing more unless this user has named it, too::

    --trust my_package.losses     what is in there (a dotted name, or the start of one)
    --trust all                   everything that the folder asks for, its search path included
    --config-dir DIR              what lies in DIR

Processes that we start are told by the environment (``AETL_TRUST``, ``AETL_PATH``), in which a user
may also set once and for all what is trusted. Users' own paths stand at the end of the search path:
a ``statistics.py`` beside a config hides no module that others need. The current folder is searched
only once something is named that lies there: whoever stands in a folder of somebody else's does not
run its ``hydra_plugins``, or what has the name of an optional package.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.foreign import Endless, yaml_text
from aetl.foreign import Unreadable as Unreadable

if TYPE_CHECKING:
    import argparse

    from omegaconf import DictConfig

TRUSTED, PATHS, HERE = "AETL_TRUST", "AETL_PATH", "AETL_HERE"
ALL = "all"
_LOOKED_UP = re.compile(r"\$\{[^}]*:")
"""A resolver's call, as of a variable of the environment; another key of the config is none."""


class Untrusted(Exception):
    """A saved config asks for what nobody here has named, told in one line."""

    of_user = True


def conf_dir() -> Path:
    """The folder of config groups: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def believe(names: Iterable[str], folders: Iterable[str] = ()) -> None:
    """Trust ``names``, and what lies in ``folders``; here, and in the processes that we start."""
    inside = [os.path.abspath(folder) for folder in folders]
    given = [part.strip() for name in names for part in name.split(",") if part.strip()]
    _add(TRUSTED, [*given, *inside])
    search(inside)


def search(folders: Iterable[str]) -> None:
    """Look for modules in these folders, too: after all others."""
    paths = [os.path.abspath(folder) for folder in folders]
    _add(PATHS, paths)
    sys.path += [path for path in paths if path not in sys.path]


def search_here() -> None:
    """Find what lies in the current folder, too, if it is named: see ``reach``."""
    os.environ[HERE] = os.getcwd()


def reach(name: str) -> None:
    """Search the current folder from now on, if a name that nobody else has is there."""
    here, top = os.environ.get(HERE), name.partition(".")[0]
    if not here or not top or top in sys.modules or importlib.util.find_spec(top) is not None:
        return
    if PathFinder.find_spec(top, [here]) is not None:
        search([here])


def paths() -> list[str]:
    """Where users' own modules are looked for, beside Python's own places."""
    return _listed(PATHS)


def places() -> list[str]:
    """``paths``, and the folder that modules which are named may lie in."""
    return list(dict.fromkeys([*paths(), *filter(None, [os.environ.get(HERE)])]))


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--trust`` and ``--config-dir`` for a command that reads saved configs."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="NAME",
        help="a module or class, not of aetl's, that the folder's config may use; or: all",
    )  # fmt: skip
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], metavar="DIR",
        help="a folder of your own variants: what lies in it is trusted",
    )  # fmt: skip


def believe_options(options: argparse.Namespace) -> None:
    believe(options.trust, options.config_dir)
    search_here()


def trusts_all() -> bool:
    return ALL in _listed(TRUSTED)


def load_config(file: Path) -> DictConfig:
    """A saved config; ``Untrusted`` for one that names code which is neither ours nor trusted."""
    from omegaconf import DictConfig, OmegaConf

    try:
        yaml_text(file)
        config = OmegaConf.load(file)
        values = OmegaConf.to_container(config, resolve=False)
    except FileNotFoundError:
        raise Unreadable(f"{file.parent}: has no {file.name}") from None
    except Endless:
        raise
    except Exception as error:
        raise Unreadable(f"{file}: cannot be read ({_one_line(error)})") from None
    if not isinstance(config, DictConfig):
        raise Unreadable(f"{file}: is no config (no keys)")
    if not trusts_all():
        refuse_strange(file, values)
    for key, value in _leaves(values):
        if key.rpartition(".")[2] == "_target_":
            reach(str(value))
    return config


def refuse_strange(file: Path, values: Any) -> None:
    """``Untrusted`` for the first thing in a saved config that could run or read what it wants."""
    for key, value in _leaves(values):
        name = key.rpartition(".")[2]
        if name == "_target_":
            if not isinstance(value, str) or not is_trusted(value):
                shown = str(value)[:80]
                raise Untrusted(
                    f"{file}: {key}={shown}: is not aetl's own, and a folder may come from "
                    f"anybody; if you know it: --trust {shown}, or --config-dir DIR where it lies"
                )
        elif isinstance(value, str) and _LOOKED_UP.search(value):
            raise Untrusted(
                f"{file}: {key}: is to be looked up ({value[:60]}), and a saved config holds "
                "values; --trust all reads it nevertheless"
            )


def is_trusted(target: str) -> bool:
    """Whether a ``_target_`` out of a folder may be called."""
    if target in shipped():
        return True
    for name in _listed(TRUSTED):
        if name == ALL or target == name or target.startswith(f"{name}."):
            return True
        if os.path.isabs(name) and _lies_in(target, name):
            return True
    return False


@cache
def shipped() -> frozenset[str]:
    """The classes that our own config files name."""
    pattern = re.compile(r"""^\s*(?:-\s+)?(?:_target_|backend):\s*["']?([\w.]+)""", re.MULTILINE)
    files = conf_dir().rglob("*.yaml")
    return frozenset(name for file in files for name in pattern.findall(file.read_text("utf-8")))


def python(module: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs a module of ours in a new process, and what its environment needs.

    Without ``-P`` Python would look into the current folder before all others.
    """
    parent = str(Path(__file__).parent.parent)
    environment = {}
    if parent not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        environment["PYTHONPATH"] = os.pathsep.join([*known, parent])
    return [sys.executable, "-P", "-m", module], environment


def is_trusted_folder(folder: Path) -> bool:
    return trusts_all() or os.path.abspath(folder) in _listed(TRUSTED)


def _lies_in(target: str, folder: str) -> bool:
    try:
        found = importlib.util.find_spec(target.partition(".")[0])
    except (ImportError, ValueError):
        return False
    places = [found.origin] if found and found.origin else []
    places += list(found.submodule_search_locations or []) if found else []
    root = Path(folder).resolve()
    return any(Path(place).resolve().is_relative_to(root) for place in places)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            at = f"{key}.{name}" if key else str(name)
            if str(name) == "_target_":
                yield at, part
            else:
                yield from _leaves(part, at)
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{key}[{number}]")
    else:
        yield key, value


def _listed(variable: str) -> list[str]:
    return [part for part in os.environ.get(variable, "").split(os.pathsep) if part]


def _add(variable: str, new: Iterable[str]) -> None:
    known = _listed(variable)
    known += [part for part in dict.fromkeys(new) if part not in known]
    if known:
        os.environ[variable] = os.pathsep.join(known)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
