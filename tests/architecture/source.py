"""The package's own source as syntax trees, for the tests of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "xnat_luigi"


@dataclass(frozen=True)
class Module:
    """One source file: its path relative to the repository, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def in_standin(self) -> bool:
        return self.path.startswith("xnat_luigi/standin/")


@cache
def modules(folder: str = "xnat_luigi") -> tuple[Module, ...]:
    """All modules below a folder of the repository."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(found)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import that runs, not those under TYPE_CHECKING."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield other
                yield from _running(other)
            continue
        yield node
        yield from _running(node)


def called(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call whose name can be read off the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name:
                yield node.lineno, name


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names, "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
        return ".".join(reversed(parts))
    return ""


def code_lines(node: ast.AST, text: str) -> int:
    """Lines of a function or module, its docstrings not counted."""
    if isinstance(node, ast.Module):
        total = len(text.splitlines())
    else:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        total = (node.end_lineno or node.lineno) - node.lineno + 1
    for inner in ast.walk(node):
        if isinstance(
            inner, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and ast.get_docstring(inner):
            first = inner.body[0]
            total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total
