"""Which test proves which documented behaviour: writes docs/seed-coverage.md.

The numbers are read from the names of the tests (``test_S076_...``, several numbers in a name
count for each), the statements from behaviours.md, the decisions from decisions.md.

    python tests/seed/coverage.py            writes the page
    python tests/seed/coverage.py --check    says what is missing; exit status 1 where something is
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
PAGE = TESTS.parent / "docs" / "seed-coverage.md"

# The progress bar is our own, and no code is written to a file: said in examples of the house.
OBSOLETE_HERE = {
    "S-037": "there is no temporary code file; that disconnect() ends the session is S-051",
    "S-082": "the progress bar needs no package of its own",
}
_STATEMENT = re.compile(r"- \*\*(S-\d{3})\*\* (.+)")
_NUMBER = re.compile(r"S(\d{3})(?=_|$)")
_REMARK = re.compile(r"\((obsolete[^()]*|matter of the project[^()]*)(?:\([^()]*\)[^()]*)*\)$")


@dataclass
class Behaviour:
    """One documented statement and its tests."""

    number: str
    section: str
    text: str
    obsolete: str = ""
    tests: list[str] = field(default_factory=list)


def read_behaviours() -> dict[str, Behaviour]:
    """The statements of behaviours.md by number."""
    found: dict[str, Behaviour] = {}
    section = ""
    for line in (HERE / "behaviours.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        match = _STATEMENT.match(line)
        if match:
            number, text = match.groups()
            remark = _REMARK.search(text)
            why = remark.group(1) if remark else ""
            found[number] = Behaviour(number, section, text, OBSOLETE_HERE.get(number, why))
    return found


def find_tests(folder: Path = TESTS) -> Iterator[tuple[str, str]]:
    """Number and place of every test that names one."""
    for path in sorted(folder.rglob("test_*.py")):
        if "S" not in path.read_text(encoding="utf-8"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                node.name.startswith("test_")
            ):
                for digits in dict.fromkeys(_NUMBER.findall(node.name)):
                    yield f"S-{digits}", f"{path.relative_to(folder).as_posix()}::{node.name}"


def cover() -> dict[str, Behaviour]:
    """All statements with their tests."""
    behaviours = read_behaviours()
    for number, test in find_tests():
        if number in behaviours:
            behaviours[number].tests.append(test)
    return behaviours


def missing(behaviours: dict[str, Behaviour]) -> list[str]:
    """Numbers that are not obsolete and have no test."""
    return [one.number for one in behaviours.values() if not one.obsolete and not one.tests]


def strangers() -> list[str]:
    """Tests that name a number that no statement has."""
    known = read_behaviours()
    return [test for number, test in find_tests() if number not in known]


def page(behaviours: dict[str, Behaviour]) -> str:
    """The page as Markdown."""
    done = sum(bool(one.tests) for one in behaviours.values())
    unneeded = sum(bool(one.obsolete) and not one.tests for one in behaviours.values())
    lines = [
        "# What the documented client does, and which test proves it",
        "",
        "Made by `python tests/seed/coverage.py` from the names of the tests; do not edit.",
        "",
        f"{len(behaviours)} statements: {done} with tests, {unneeded} obsolete, "
        f"{len(missing(behaviours))} without.",
    ]
    section = ""
    for one in behaviours.values():
        if one.section != section:
            section = one.section
            lines += ["", f"## {section}", "", "| | statement | shown by |", "|---|---|---|"]
        tests = "<br>".join(f"`{test}`" for test in one.tests)
        shown = tests or (f"not tested: {one.obsolete}" if one.obsolete else "**no test**")
        lines.append(f"| {one.number} | {one.text.replace('|', chr(92) + '|')} | {shown} |")
    decisions = (HERE / "decisions.md").read_text(encoding="utf-8")
    return "\n".join(lines) + "\n\n" + decisions


def main(argv: list[str] | None = None) -> int:
    """Write the page, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args(argv)
    behaviours = cover()
    if not arguments.check:
        PAGE.write_text(page(behaviours), encoding="utf-8")
    without = missing(behaviours)
    for number in without:
        print(f"{number} has no test: {behaviours[number].text}")
    print(f"{len(behaviours) - len(without)} of {len(behaviours)} statements are covered")
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
