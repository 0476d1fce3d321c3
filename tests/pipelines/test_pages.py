"""Pages of results: self-contained, readable without colours, and nothing in them is markup."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy
import pytest

from pipelines import pages
from pipelines.quality import as_series, plots


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.addresses.append(value or "")
            if name in ("alt", "aria-label"):
                self.labels.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_a_page_asks_nobody() -> None:
    series = as_series(numpy.random.default_rng(1).normal(100, 10, (16, 16, 4, 3)))
    page = read(pages.page("Quality", plots("a.nii.gz", series)))
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert page.tags.count("svg") == 2, "a histogram, and a line through three volumes"
    assert len(page.labels) == 3, "every picture says in words what it shows"


def test_names_are_text_and_no_markup() -> None:
    name = '<script>alert("x")</script>'
    body = [
        pages.table([name], [[name]]),
        pages.histogram([1, 2], name),
        *plots(name, as_series([1])),
    ]
    page = read(pages.page(name, body))
    assert "script" not in page.tags
    assert sum(name in text for text in page.text) >= 4


def test_marked_cells_stand_out() -> None:
    text = pages.table(["a"], [["1"], ["! 2"]], marked=["!"])
    assert text.count("class=out") == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no values"),
        ([float("nan")], "no values"),
        ([3.5, 3.5], "2 values, all 3.5"),
        ([1.0, 2.0], "2 values from 1 to 2"),
    ],
)
def test_a_histogram_says_what_it_shows(values: list[float], said: str) -> None:
    assert said in pages.histogram(values, "snr")


def test_one_volume_has_no_line() -> None:
    assert pages.line([1.0], "mean") == ""
