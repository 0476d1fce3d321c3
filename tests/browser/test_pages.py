"""The pages of QC in a browser: seen, clicked, typed at, and without a network."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from . import chromium
from .material import make_reports


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the module. Where there is none the tests are skipped, but not in CI."""
    reason = chromium.missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; they are required when CI=true")
    if reason:
        pytest.skip(reason)
    with chromium.browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    return make_reports(tmp_path_factory.mktemp("night"))


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def shown(browser: Any, table: str) -> list[str]:
    """The visible lines of a table."""
    rows = browser.find_elements("css selector", f"#{table} tbody tr")
    return [row.text for row in rows if row.is_displayed()]


def press(browser: Any, status: str) -> Any:
    return find(browser, f"button[data-status={status}]")


@pytest.fixture
def index(browser: Any, reports: Path) -> Any:
    browser.set_window_size(1100, 900)
    browser.get((reports / "index.html").as_uri())
    return browser


@pytest.fixture
def page(browser: Any, reports: Path) -> Any:
    """The page of a session that fails."""
    browser.set_window_size(1100, 900)
    browser.get((reports / "P1" / "SUBJ2_MR1.html").as_uri())
    return browser


def test_the_index_shows_the_worst_first(index: Any) -> None:
    states = [line.split()[1] for line in shown(index, "sessions")]
    assert states == ["fail", "fail", "warn", "pass"]
    assert find(index, "#summary").text == "4 of 4 sessions shown"


def test_the_index_is_filtered_by_status_project_and_words(index: Any) -> None:
    from selenium.webdriver.support.select import Select

    press(index, "fail").click()
    assert len(shown(index, "sessions")) == 2
    press(index, "fail").click()
    Select(find(index, "#project")).select_by_visible_text("P2")
    assert ["SUBJ4_MR1" in line for line in shown(index, "sessions")] == [True]
    Select(find(index, "#project")).select_by_visible_text("all")
    find(index, "#find").send_keys("subj2 flair")
    assert ["SUBJ2_MR1" in line for line in shown(index, "sessions")] == [True]
    assert find(index, "#summary").text == "1 of 4 sessions shown"


def test_the_index_leads_to_the_sessions(index: Any) -> None:
    find(index, "#sessions a").click()
    assert index.current_url.endswith(".html") and find(index, "#verdict").text.endswith("fail")


def test_the_verdict_stands_on_top_and_failures_first(page: Any) -> None:
    verdict = find(page, "#verdict")
    assert verdict.text.endswith("fail") and verdict.location["y"] < 250
    states = [line.split()[1] for line in shown(page, "findings")]
    assert states == sorted(states, key=["fail", "warn", "pass"].index)
    assert "FLAIR" in shown(page, "findings")[0]


def test_findings_are_hidden_and_shown_by_status(page: Any) -> None:
    before = shown(page, "findings")
    press(page, "pass").click()
    after = shown(page, "findings")
    assert 0 < len(after) < len(before) and all(line.split()[1] != "pass" for line in after)
    press(page, "pass").click()
    assert shown(page, "findings") == before


def test_everything_can_be_done_with_the_keyboard(index: Any) -> None:
    """Tab reaches each control and link in turn, the focus is seen, Enter and Space press."""
    reached = []
    body = find(index, "body")
    body.send_keys("\ue004")
    for _ in range(9):
        reached.append(
            index.execute_script(
                "const e = document.activeElement;"
                "return [e.tagName, getComputedStyle(e).outlineStyle]"
            )
        )
        index.switch_to.active_element.send_keys("\ue004")
    tags = [tag for tag, _ in reached]
    assert tags == ["BUTTON", "BUTTON", "BUTTON", "SELECT", "INPUT", "A", "A", "A", "A"]
    assert all(outline == "solid" for _, outline in reached)
    for key in ("\ue007", " "):
        press(index, "fail").send_keys(key)
        assert press(index, "fail").get_attribute("aria-pressed") == (
            "false" if key != " " else "true"
        )


def test_the_pictures_are_there(page: Any) -> None:
    images = page.find_elements("css selector", ".strip img")
    widths = [page.execute_script("return arguments[0].naturalWidth", one) for one in images]
    assert len(widths) == 10 and all(widths)
    assert all(one.get_attribute("alt") for one in images)


def test_expected_stands_beside_what_came(page: Any) -> None:
    lines = shown(page, "expected")
    assert any("FLAIR" in line and line.endswith("none") for line in lines)
    assert any("1 T1w (MR, 5 files)" in line for line in lines)


@pytest.mark.parametrize("name", ["index.html", "P1/SUBJ2_MR1.html", "P2/SUBJ4_MR1.html"])
def test_no_page_asks_for_anything_else(browser: Any, reports: Path, name: str) -> None:
    browser.get((reports / name).as_uri())
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(n => !n.startsWith('data:'))"
    )
    assert asked == []
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


CONTRAST = """
const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
  .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const ground = e => { while (e) { const c = getComputedStyle(e).backgroundColor;
  if (!c.startsWith('rgba(0, 0, 0, 0')) return c; e = e.parentElement; }
  return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll('td, th, p, li, strong, button, label, figcaption, h1, h2')]
  .filter(e => e.textContent.trim() && e.offsetParent)
  .map(e => { const a = light(getComputedStyle(e).color), b = light(ground(e));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); });
"""


@pytest.mark.parametrize("name", ["index.html", "P1/SUBJ2_MR1.html", "P1/SUBJ3_MR1.html"])
def test_text_stands_out_from_its_ground(browser: Any, reports: Path, name: str) -> None:
    """At least 4.5 to 1 (WCAG 1.4.3)."""
    browser.get((reports / name).as_uri())
    ratios = browser.execute_script(CONTRAST)
    assert len(ratios) > 10 and min(ratios) >= 4.5


def test_status_is_told_by_sign_and_word_not_by_colour_alone(page: Any) -> None:
    cells = page.find_elements("css selector", "td.status")
    for cell in cells:
        sign, word = cell.text.split()
        assert (sign, word) in {("✓", "pass"), ("▲", "warn"), ("✕", "fail")}


@pytest.mark.parametrize("name", ["index.html", "P1/SUBJ2_MR1.html"])
def test_a_narrow_screen_needs_no_scrolling_sideways(
    browser: Any, reports: Path, name: str
) -> None:
    browser.set_window_size(500, 900)
    browser.get((reports / name).as_uri())
    wide = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0


def test_a_screenshot_shows_pictures_and_colours(page: Any) -> None:
    image = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    colours = image.getcolors(1 << 24)
    assert colours is not None and len(colours) > 50 and image.size[0] >= 1000
