"""Reports: pictures, the session's page, the index; what a browser makes of them: tests/browser."""

from __future__ import annotations

import io
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from pipelines.material import Series, cut
from xnat_luigi.qc.checks import check_study
from xnat_luigi.qc.material import make_material
from xnat_luigi.qc.report import read_summaries, render_session, write_index, write_report
from xnat_luigi.qc.rules import Rules, parse_rules
from xnat_luigi.qc.thumbnails import make_strip

from .material import change, small_study

MADE = datetime(2024, 6, 11, 10, 0, tzinfo=timezone.utc)
RULES = parse_rules(
    """
    [[series]]
    name = "T1"
    description = "T1*"
    minimum_files = 4
    [[series]]
    name = "FLAIR"
    description = "FLAIR*"
    [allowed]
    severity = "warn"
    """
)


def report(folder: Path, study_folder: Path, rules: Rules = RULES, **options: Any) -> Path:
    session = options.pop("session", "S001_MR1")
    study = small_study(study_folder, session=session, **options)
    material = make_material(
        study.files, fields=rules.fields, subject="S001", session=session, study_uid=study.uid
    )
    verdict = check_study(material, rules)
    return write_report(folder, material, verdict, rules, project="P1", made=MADE)


def picture(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_strip_shows_spread_slices_with_the_headers_window(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 9),))
    material = make_material(study.files)
    strip = make_strip(material, material.series[0], count=3, side=48)
    assert [one.caption for one in strip] == ["image 1", "image 5", "image 9"]
    shown = picture(strip[0].png)
    assert shown.shape == (48, 48) and shown.min() < 60 and shown.max() > 200
    for path in study.files:
        change(path, lambda d: (setattr(d, "WindowCenter", 1e6), setattr(d, "WindowWidth", 2.0)))
    material = make_material(study.files)
    assert picture(make_strip(material, material.series[0], count=1)[0].png).max() == 0


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("MR_small_RLE.dcm", 2),
        ("SC_rgb_rle.dcm", 3),
        ("examples_ybr_color.dcm", 3),
        ("rtdose.dcm", 2),
        ("examples_palette.dcm", 2),
        ("CT_small.dcm", 2),
    ],
)
def test_pictures_of_many_kinds(name: str, shape: int) -> None:
    material = make_material([str(pydicom.data.get_testdata_file(name))])
    strip = make_strip(material, material.series[0], count=2)
    assert strip and all(picture(one.png).ndim == shape for one in strip), strip[0].caption


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("JPEGLSNearLossless_08.dcm", "no decoder for 'JPEG-LS"),
        ("rtplan.dcm", "1 files without pixel data"),
    ],
)
def test_what_cannot_be_shown_is_said(name: str, said: str) -> None:
    material = make_material([str(pydicom.data.get_testdata_file(name))])
    (only,) = make_strip(material, material.series[0])
    assert not only.png and said in only.caption


def test_damaged_pixel_data_are_said(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 1),))
    change(study.files[0], lambda d: setattr(d, "PixelData", d.PixelData[:100]))
    material = make_material(study.files)
    (only,) = make_strip(material, material.series[0])
    assert not only.png and "damaged" in only.caption


def test_the_page_needs_no_network_and_escapes_everything(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 4),))
    for path in study.files:
        change(path, lambda d: setattr(d, "SeriesDescription", "<script>alert(1)</script>"))
    material = make_material(study.files, session="S001_MR1")
    notes = [("The server's validation", ["11 WARN <b>no</b>"]), ("Nothing", [])]
    page = render_session(material, check_study(material, RULES), RULES, notes=notes, made=MADE)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert "<b>no</b>" not in page and "Nothing" not in page
    sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in page.replace("data:", "")


def test_failing_rules_stand_first(tmp_path: Path) -> None:
    page = report(tmp_path / "out", tmp_path / "in").read_text()
    rows = re.findall(r'<tr data-status="(\w+)"', page)
    assert rows == sorted(rows, key=["fail", "warn", "pass"].index) and "fail" in rows
    assert page.index('id="verdict"') < page.index("<table")
    assert "1 T1w (MR, 4 files)" in page and "at least 1 series" in page and "not expected" in page


def test_an_index_over_all_sessions_worst_first(tmp_path: Path) -> None:
    report(tmp_path / "out", tmp_path / "a", parse_rules(""), session="S001_MR1")
    report(tmp_path / "out", tmp_path / "b", session="S001_MR2")
    (tmp_path / "out" / "other.json").write_text("{}")
    found = read_summaries(tmp_path / "out")
    assert [(one.session, one.status) for one in found] == [
        ("S001_MR2", "fail"),
        ("S001_MR1", "pass"),
    ]
    assert found[0].href == "P1/S001_MR2.html" and (tmp_path / "out" / found[0].href).exists()
    assert "S001_MR2" in write_index(tmp_path / "out").read_text()


def test_a_cut_file_shows_up_in_the_page(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    cut(study.files[0])
    material = make_material(study.files, session="S001_MR1")
    page = render_session(material, check_study(material, RULES), RULES, made=MADE)
    assert "pixel data declare" in page and str(study.files[0]) in page


def test_a_written_page_does_not_say_where_the_files_lay(tmp_path: Path) -> None:
    study = small_study(tmp_path / "secret place")
    cut(study.files[0])
    material = make_material(study.files, session="S001_MR1")
    page = write_report(tmp_path / "out", material, check_study(material, RULES), RULES, made=MADE)
    for path in (page, page.with_suffix(".json")):
        text = path.read_text()
        assert "secret place" not in text and f"01-T1w/{study.files[0].name}" in text


def test_the_index_can_wait(tmp_path: Path) -> None:
    study = small_study(tmp_path / "in")
    material = make_material(study.files, session="S001_MR1")
    write_report(tmp_path / "out", material, check_study(material, RULES), index=False)
    assert not (tmp_path / "out" / "index.html").exists()
    assert "S001_MR1" in write_index(tmp_path / "out").read_text()
