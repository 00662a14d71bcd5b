"""Which code a result depends on: the modules that a stage and the classes of its config reach.

Imports are followed from file to file without running anything. So a new variant, which nobody's
config names, leaves every stored result as it is, and a changed one makes stale what used it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent.parent
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_DOES_NOT_COMPUTE = ("aetl.config", "aetl.files", "aetl.place", "aetl.secret", "aetl.store",
                     "aetl.tracking", "aetl.trust", "aetl.version")  # fmt: skip
"""What stages import to read configs, to write files and to report; no result depends on it."""
_ONLY_SHOWS = ("command", "comparison", "report")


def code_digest(module: str, key: Any) -> str:
    """A digest of the sources that ``module`` and the ``_target_`` classes in ``key`` reach.

    Installed packages do not count: their versions are for the record to tell.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, file in sorted(reached([module, *_targets(key)]).items()):
        digest.update(name.encode() + file.read_bytes())
    return digest.hexdigest()


def package_digest() -> str:
    """A digest of aetl's sources but for those that only show results, for the record of a run."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(_PACKAGE.rglob("*.py")):
        if file.relative_to(_PACKAGE).parts[0] in _ONLY_SHOWS:
            continue
        digest.update(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()


def own_code(config: Any) -> dict[str, str]:
    """Digests of the modules of the user's own that the ``_target_`` classes of a config reach."""
    theirs = [target for target in _targets(config) if not target.startswith("aetl.")]
    return {
        name: hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
        for name, file in sorted(reached(theirs).items())
        if not name.startswith("aetl.")
    }


def reached(modules: Iterable[str]) -> dict[str, Path]:
    """The files of these modules, and of all that they import, by module name."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        located = _locate(waiting.pop())
        if located is None or located[0] in found:
            continue
        name, file = located
        found[name] = file
        waiting += _imports(file, file.stat().st_mtime_ns)
    return found


def _targets(key: Any) -> Iterator[str]:
    if isinstance(key, Mapping):
        if isinstance(key.get("_target_"), str):
            yield key["_target_"]
        key = list(key.values())
    if isinstance(key, (list, tuple)):
        for value in key:
            yield from _targets(value)


@cache
def _imports(file: Path, changed: int) -> tuple[str, ...]:
    """The dotted names that a file imports (a module, or something in one)."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def _locate(name: str) -> tuple[str, Path] | None:
    """The module that a dotted name is, or is in, with its file; ``None`` if it does not count."""
    top = name.partition(".")[0]
    if top == "aetl":
        return _locate_own(name)
    if top in sys.stdlib_module_names:
        return None
    return _locate_foreign(name, tuple(sys.path))


@cache
def _locate_own(name: str) -> tuple[str, Path] | None:
    while "." in name:
        if f"{name}.".startswith(tuple(f"{module}." for module in _DOES_NOT_COMPUTE)):
            return None
        file = _PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if file.is_file():
            return name, file
        name = name.rpartition(".")[0]
    return None


@cache
def _locate_foreign(name: str, places: tuple[str, ...]) -> tuple[str, Path] | None:
    """A user's own module; it may lie inside a class inside a class. ``places`` are sys.path."""
    try:
        root = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return None
    origin = (root and root.origin) or ""
    if root is None or origin.startswith(_INSTALLED) or "-packages/" in origin:
        return None
    while name:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return name, Path(spec.origin)
        name = name.rpartition(".")[0]
    return None
