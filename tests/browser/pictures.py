"""The pictures of the documents, made anew: `python -m tests.browser.pictures`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import chromium
from .material import make_reports

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
PAGES = {"qc-index": "index.html", "qc-session": "P1/SUBJ2_MR1.html"}


def main() -> int:
    reason = chromium.missing()
    if reason:
        sys.stderr.write(reason + "\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as base, chromium.browser(width=1000, height=760) as driver:
        reports = make_reports(Path(base))
        for name, page in PAGES.items():
            driver.get((reports / page).as_uri())
            (FOLDER / f"{name}.png").write_bytes(driver.get_screenshot_as_png())
            sys.stdout.write(f"{FOLDER / name}.png\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
