"""The rooms of the package: who imports whom, and how large a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT

PACKAGE = "ncg_fast"
MAX_FLOORS, MAX_LINES = 7, 300
LARGE = "model/rbm.py", "backends/reference.py"  # one class, one oracle; and kernels
KERNELS = "backends/triton/"

Graph = dict[str, set[str]]  # what each imports


def modules() -> dict[str, Path]:
    found = {}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs: within functions as well, not what types alone need."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from statements(child)


def names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(package, what is taken from it) of each import."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def imports() -> Graph:
    """The module that each import names; those that are compiled have no source."""
    graph: Graph = {}
    for module, path in MODULES.items():
        graph[module] = set()
        for package, name in names(ast.parse(path.read_text())):
            if not name.startswith(("_cpu", "_cuda")):
                inner = f"{package}.{name}"
                graph[module].add(inner if inner in MODULES else package)
        graph[module] = (graph[module] & MODULES.keys()) - {module}
    return graph


def room(module: str) -> str:
    """The folder of the package, or the file beside the folders; ``__main__`` is the CLI's door."""
    first = [*module.split("."), ""][1]
    return "cli" if first == "__main__" else first


def rooms(graph: Graph) -> Graph:
    found: Graph = {}
    for module, imported in graph.items():
        own = found.setdefault(room(module), set())
        own |= {room(other) for other in imported} - {room(module)}
    return found


def floors(graph: Graph) -> dict[str, int]:
    """The floor of each: 1, or one above the highest that it imports."""
    found: dict[str, int] = {}

    def floor(name: str, above: tuple[str, ...]) -> int:
        circle = " imports ".join([*above[above.index(name) :], name]) if name in above else ""
        assert not circle, circle
        if name not in found:
            below = (floor(other, (*above, name)) for other in graph[name])
            found[name] = 1 + max(below, default=0)
        return found[name]

    for name in graph:
        floor(name, ())
    return found


def test_no_module_imports_one_that_imports_it():
    floors(imports())


def test_rooms_stand_on_few_floors():
    found = floors(rooms(imports()))
    assert max(found.values()) <= MAX_FLOORS, found
    assert found["checks"] == found["backends"] == 1
    assert found["cli"] == max(found.values())


def test_a_circle_and_a_floor_are_seen():
    with pytest.raises(AssertionError, match="a imports b imports a"):
        floors({"a": {"b"}, "b": {"a"}})
    assert floors({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}


def test_files_are_small():
    large = {}
    for path in MODULES.values():
        name = path.relative_to(ROOT / PACKAGE).as_posix()
        n_lines = path.read_text().count("\n")
        if n_lines > MAX_LINES and name not in LARGE and not name.startswith(KERNELS):
            large[name] = n_lines
    assert not large
