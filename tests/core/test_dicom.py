"""DICOM headers and partial reading."""

from __future__ import annotations

from typing import Any

import pydicom
import pytest

from tests.standin.objects import dicom, study_files
from xnat_luigi.exceptions import XNATNotFoundError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

UID = "1.2.826.0.1.5"


@pytest.fixture
def scan(site: StandIn, project: Any) -> Any:
    """A scan with two small objects and one of a megabyte."""
    files = study_files(UID, {1: 2})
    large = dicom(UID, 2, 1, Rows=1024, Columns=1024, PixelData=b"\1" * (1 << 20))
    scans = {
        "1": {"type": "T1", "resources": {"DICOM": files}},
        "2": {"type": "BIG", "resources": {"secondary": {"big.dcm": large}}},
    }
    site.add_session("P1", "S2", "S2_MR", scans=scans)
    project.experiments.clearcache()
    return project.experiments["S2_MR"].scans["1"]


def test_S202_S204_S205_headers_from_the_server(scan: Any, session: Any) -> None:
    found = scan.dicom_dump()
    assert {"tag1", "tag2", "vr", "value", "desc"} == set(found[0])
    assert len(found) > 10
    by_name = scan.dicom_dump(fields="PatientID")
    by_number = scan.dicom_dump(fields=["00100020"])
    assert by_name == by_number and by_name[0]["value"] == "S1_MR1"
    for source in (scan, scan.uri, scan.fulluri, scan.external_uri()):
        assert session.services.dicom_dump(source, ["PatientID"]) == by_name
    two = session.services.dicom_dump(scan, fields=["PatientID", "Modality"])
    assert {row["value"] for row in two} == {"S1_MR1", "MR"}


def test_S205_long_values_are_cut_by_the_server_at_255(site: StandIn, project: Any) -> None:
    data = dicom(UID, 3, 1, SeriesDescription="x", ImageComments="<&>" + "y" * 400)
    scans = {"3": {"type": "T1", "resources": {"DICOM": {"1.dcm": data}}}}
    site.add_session("P1", "S2", "S2_LONG", scans=scans)
    project.experiments.clearcache()
    scan = project.experiments["S2_LONG"].scans["3"]
    (found,) = scan.dicom_dump("ImageComments")
    assert found["value"] == "<&>" + "y" * 252
    assert len(scan.read_dicom().ImageComments) == 403


def test_S206_S207_only_the_header_is_downloaded(scan: Any, site: StandIn) -> None:
    big = scan.parent.scans["2"]
    header = big.read_dicom()
    assert header.Rows == 1024 and "PixelData" not in header
    whole = big.read_dicom(read_pixel_data=True)
    assert len(whole.PixelData) == 1 << 20


def test_S197_S198_S200_as_much_as_is_read(scan: Any, site: StandIn) -> None:
    file = scan.parent.scans["2"].resources["secondary"].files["big.dcm"]
    opened = file.open()
    assert opened.readable() and opened.seekable() and not opened.writable()
    first = opened.read(100)
    assert len(first) == 100 and opened.fetched < 200_000
    opened.seek(300_000)
    assert 300_000 <= opened.fetched < 600_000 and opened.tell() == 300_000
    opened.seek(0)
    assert opened.read(100) == first
    opened.seek(-4, 2)
    assert opened.read() == b"\1" * 4 and opened.read(10) == b""
    opened.close()
    opened.close()
    with pytest.raises(ValueError, match="closed"):
        opened.read(1)
    with pytest.raises(ValueError, match="closed"):
        opened.tell()


def test_S199_stop_before_pixels_ends_the_download(scan: Any) -> None:
    file = scan.parent.scans["2"].resources["secondary"].files["big.dcm"]
    with file.open() as opened:
        data = pydicom.dcmread(opened, stop_before_pixels=True)
        assert data.Rows == 1024 and opened.fetched < 300_000


def test_S208_S209_another_file_and_files_without_a_header(scan: Any, site: StandIn) -> None:
    file = scan.resources["DICOM"].files["1-2.dcm"]
    assert scan.read_dicom(file=file).InstanceNumber == 2
    assert scan.read_dicom().InstanceNumber == 1
    bare = dicom(UID, 5, 7)[132:]
    site.add_session(
        "P1", "S2", "S2_BARE", scans={"5": {"type": "X", "resources": {"DICOM": {"x": bare}}}}
    )
    scan.xnat_session.clearcache()
    other = scan.xnat_session.projects["P1"].experiments["S2_BARE"].scans["5"]
    with pytest.raises(pydicom.errors.InvalidDicomError):
        other.read_dicom()
    assert other.read_dicom(force=True).InstanceNumber == 7


def test_F19_a_scan_without_dicom(experiment: Any) -> None:
    with pytest.raises(XNATNotFoundError, match="DICOM or secondary"):
        experiment.scans["3"].read_dicom()


def test_N4_an_opened_file_that_ends_too_early_is_no_whole_file(scan: Any, site: StandIn) -> None:
    from xnat_luigi.exceptions import XNATError

    file = scan.parent.scans["2"].resources["secondary"].files["big.dcm"]
    site.faults.add(Fault(method="GET", path=r"big\.dcm", cut=500_000, no_length=True))
    with file.open() as opened, pytest.raises(XNATError):
        opened.read()
    site.faults.clear()
