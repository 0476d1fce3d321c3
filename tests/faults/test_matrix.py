"""Every row of the fault matrix has a test, and the page of this folder says which."""

from __future__ import annotations

import re

from . import matrix


def test_every_row_has_a_test() -> None:
    assert matrix.missing() == []


def test_the_page_names_every_row_and_modules_that_exist() -> None:
    text = matrix.PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.) \| ([A-Z]\d+) \| .* \| (.*) \|$", text, re.M)
    assert [row for _, row, _ in rows] == list(matrix.ROWS)
    for mark, row, names in rows:
        assert mark == "✓", row
        for name in re.findall(r"`(.+?)`", names):
            assert (matrix.HERE.parent / name).is_file(), name
            assert name in matrix.find_tests()[row], (row, name)


def test_numbers_of_sections_are_no_rows() -> None:
    assert matrix._ID.findall("A1_3_a_page") == []
    assert matrix._ID.findall("N6_A1_a_post") == ["N6", "A1"]
    assert matrix._ID.findall("S012_A1_1_N7") == ["N7"]
