"""The rooms of the package: their imports make no circle, and a verb's file has its name."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from aetl.cli import HELP
from aetl.command import verbs

PACKAGE = Path(__file__).parents[1] / "aetl"


def import_graph(package: Path) -> dict[str, set[str]]:
    """What each module imports of its package, inside functions and for the type checker too."""
    files = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): file
        for file in package.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): file for name, file in files.items()}
    return {name: _imported(file, modules.keys()) - {name} for name, file in modules.items()}


def _imported(file: Path, modules: object) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}  # type: ignore[operator]
    return {name for name in found if name in modules}  # type: ignore[operator]


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one module (Kosaraju)."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(node: str) -> None:
        seen.add(node)
        for other in graph[node] - seen:
            if other not in seen:
                visit(other)
        order.append(node)

    for node in graph:
        if node not in seen:
            visit(node)
    importers = {node: {n for n, found in graph.items() if node in found} for node in graph}
    components, placed = [], set()
    for node in reversed(order):
        if node in placed:
            continue
        component, waiting = set(), [node]
        while waiting:
            at = waiting.pop()
            if at not in placed:
                placed.add(at)
                component.add(at)
                waiting += importers[at] - placed
        components.append(component)
    return [component for component in components if len(component) > 1]


def test_a_circle_of_imports_is_found_where_there_is_one(tmp_path: Path) -> None:
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from p import b")
    (package / "b.py").write_text("def f():\n    from p.c import x")
    (package / "c.py").write_text("import p.a")
    (package / "d.py").write_text("import p.a")
    assert circles(import_graph(package)) == [{"p.a", "p.b", "p.c"}]


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = import_graph(PACKAGE)
    assert len(graph) > 100
    assert circles(graph) == []


@pytest.mark.parametrize("verb", verbs())
def test_a_verb_is_a_file_of_its_name_with_a_main_and_is_told_in_the_help(verb: str) -> None:
    command = importlib.import_module(f"aetl.command.{verb}")
    assert command.main.__doc__
    assert verb.startswith("_") or f"\n  aetl {verb} " in HELP
