"""Imports that nobody expects: odd headers, odd names, broken bytes (wire contract B 1.5, 1.6)."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnat_luigi.standin.dicom_import import clean_label, is_valid_file_name, template_name

from .objects import dicom, new_uid, tarred, zipped
from .site import Site

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ODD = [
    "../../out.dcm",
    "..\\..\\out.dcm",
    "/etc/out.dcm",
    "a b ü.dcm",
    ".hidden",
    "scan_1_catalog.xml",
    "x" * 240 + ".dcm",
    "a%2Fb.dcm",
    "a:b*c?.dcm",
]


@pytest.mark.parametrize("name", ODD)
def test_B1_6_odd_names_stay_inside_the_row(own_site: Site, name: str) -> None:
    assert own_site.standin is not None
    data = dicom(new_uid())
    answer = own_site.send(zipped({name: data}), project=own_site.project())
    assert answer.status_code == 200, answer.text
    row = answer.text.strip().removeprefix("/data")
    own_site.post(row, params={"action": "build"})
    listed = own_site.rows(f"{row}/scans/1/resources/DICOM/files")
    assert len(listed) == 1
    assert is_valid_file_name(listed[0]["Name"])
    assert own_site.get(listed[0]["URI"]).content == data
    root = own_site.standin.root
    place = root / row.lstrip("/").replace("prearchive/projects", "prearchive")
    assert not [p for p in root.rglob("*out.dcm") if not p.is_relative_to(place)]


@pytest.mark.parametrize(
    ("elements", "subject", "session"),
    [
        ({"PatientName": "Müller^Ä", "SpecificCharacterSet": "ISO_IR 100"}, "M_ller__", "S1_MR1"),
        ({"PatientID": "a/b/../c"}, "S1", "a_b____c"),
        ({"PatientID": " "}, "S1", "dicom_upload"),
        (
            {"PatientName": "Yamada^Tarou=山田^太郎", "SpecificCharacterSet": "ISO_IR 192"},
            "Yamada_Tarou",
            "S1_MR1",
        ),
    ],
)
def test_B1_6_odd_headers_make_clean_labels(
    site: Site, elements: dict[str, str], subject: str, session: str
) -> None:
    data = dicom(new_uid(), **elements)
    answer = site.send(zipped({"x.dcm": data}), project=site.project())
    assert answer.status_code == 200
    cells = site.rows(answer.text.strip().removeprefix("/data"))[0]
    assert (cells["subject"], cells["name"]) == (subject, session)


@pytest.mark.parametrize("number", ["", "-1", "0007", "123456789012"])
def test_B1_6_odd_series_numbers(site: Site, number: str) -> None:
    study = new_uid()
    data = dicom(study, 3, SeriesNumber=number, series_uid=f"{study}.3")
    row = site.send(zipped({"x.dcm": data}), project=site.project()).text.strip()
    row = row.removeprefix("/data")
    assert site.post(row, params={"action": "build"}).status_code == 200
    expected = number or f"{study}.3".replace(".", "_")
    assert site.rows(f"{row}/scans")[0]["ID"] == expected.lstrip("0").rjust(1, "0") or expected


@quick
@given(st.binary(max_size=300))
def test_B1_5_any_bytes_are_refused_politely(own_site: Site, body: bytes) -> None:
    for media in (
        "application/zip",
        "application/x-tar",
        "application/x-gtar",
        "application/dicom",
    ):
        assert own_site.send(body, media, project="P1").status_code == 400


# The lengths of the drawn archives are always the same: only then can a failure be repeated.
@quick
@given(st.data())
def test_B1_5_damaged_archives_never_break_the_server(own_site: Site, data: st.DataObject) -> None:
    files = {f"{n}.dcm": dicom("2.25.1", 1, n) for n in (1, 2)}
    body = bytearray(data.draw(st.sampled_from([zipped(files), tarred(files, "w:gz")])))
    place = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body = body[:place]
    else:
        body[place] ^= data.draw(st.integers(1, 255))
    media = "application/zip" if body[:2] == b"PK" else "application/x-gtar"
    assert own_site.send(bytes(body), media, project="P1").status_code in (200, 400)


def test_B1_5_encrypted_and_unknown_compression_are_refused(site: Site) -> None:
    body = bytearray(zipped({"x.dcm": dicom(new_uid())}))
    for at in (6, body.rfind(b"PK\x01\x02") + 8):
        body[at] |= 1  # says that it is encrypted
    assert site.send(bytes(body), project=site.project()).status_code == 400
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.dcm", dicom(new_uid()))
    assert site.send(stream.getvalue(), project=site.project()).status_code in (200, 400)


@quick
@given(st.text(max_size=40))
def test_B1_6_labels_and_names_are_always_valid(text: str) -> None:
    from xnat_luigi.standin.dicom_import import Header

    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in clean_label(text))
    header = Header({"StudyInstanceUID": text, "SeriesNumber": text, "InstanceNumber": text})
    assert is_valid_file_name(template_name(header))
