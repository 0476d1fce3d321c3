"""Every documented behaviour that is not obsolete has a test, and the page says so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("seed_coverage", HERE / "coverage.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_behaviour_has_a_test(coverage: ModuleType) -> None:
    assert coverage.missing(coverage.cover()) == []


def test_no_test_names_a_behaviour_that_does_not_exist(coverage: ModuleType) -> None:
    assert coverage.strangers() == []


def test_the_page_names_every_statement_and_only_tests_that_exist(coverage: ModuleType) -> None:
    text = coverage.PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^\| (S-\d{3}) \|.*\| (.+) \|$", text, re.MULTILINE)
    assert [number for number, _ in shown] == list(coverage.read_behaviours())
    existing = set(coverage.find_tests())
    for number, tests in shown:
        for test in re.findall(r"`([^`]+::[^`]+)`", tests):
            assert (number, test) in existing, "run: python tests/seed/coverage.py"


def test_all_statements_are_read(coverage: ModuleType) -> None:
    text = (HERE / "behaviours.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^- \*\*(S-\d{3})\*\*", text, re.MULTILINE)
    assert list(coverage.read_behaviours()) == numbers
    assert len(numbers) == 278


def test_every_open_point_of_the_document_is_decided() -> None:
    text = (HERE / "behaviours.md").read_text(encoding="utf-8")
    decided = (HERE / "decisions.md").read_text(encoding="utf-8")
    for number in dict.fromkeys(re.findall(r"\bD-\d\d\b", text)):
        assert f"| {number} |" in decided, number
