"""Small rooms: a module has at most 500 lines, a function 60, docstrings not counted."""

from __future__ import annotations

import ast

from .source import code_lines, modules

MODULE_LINES = 500
FUNCTION_LINES = 60
TEST_MODULE_LINES = 800


def test_modules_are_small() -> None:
    large = {
        m.path: lines
        for m in (*modules(), *modules("pipelines"))
        if (lines := code_lines(m.tree, m.text)) > MODULE_LINES
    }
    assert not large


def test_functions_are_small() -> None:
    large = {
        f"{m.path}:{node.lineno} {node.name}": lines
        for m in (*modules(), *modules("pipelines"))
        for node in ast.walk(m.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := code_lines(node, m.text)) > FUNCTION_LINES
    }
    assert not large


def test_test_modules_are_small() -> None:
    large = {
        m.path: lines
        for m in modules("tests")
        if not m.path.startswith("tests/seed/check_seed_api")
        and (lines := len(m.text.splitlines())) > TEST_MODULE_LINES
    }
    assert not large


def test_names_say_what_a_module_is() -> None:
    vague = {"helpers", "utils", "util", "managers", "manager", "misc", "common"}
    found = [m.path for m in modules() if m.path.rsplit("/", 1)[-1][:-3] in vague]
    assert not found
