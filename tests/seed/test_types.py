"""Data types of a server: what is there, what is read (S-121, S-124, S-125, S-131)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import xnat_luigi
from xnat_luigi.exceptions import XNATResponseError
from xnat_luigi.standin import StandIn


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        server.add_project("P")
        server.add_session("P", "A", "A_MR", scanner="SCN1", scans={"1": "T1", "2": "FLAIR"})
        server.add_session("P", "B", "B_MR", scanner="SCN2", scans={"1": "T1"})
        yield server


@pytest.fixture(scope="module")
def session(server: StandIn) -> Iterator[Any]:
    with xnat_luigi.connect(server.url, user="admin", password="admin") as session:
        yield session


def test_S121_scanners_and_scan_types(session: Any) -> None:
    assert sorted(session.scanners) == ["SCN1", "SCN2"]
    assert sorted(session.scan_types) == ["FLAIR", "T1"]


def test_S124_types_of_the_server(session: Any) -> None:
    types = session.inspect.datatypes()
    assert {"xnat:projectData", "xnat:subjectData", "xnat:mrSessionData"} <= set(types)
    assert session.inspect.datatypes("*Session*") == ["xnat:mrSessionData"]
    assert session.inspect.datatypes("nothing*") == []


def test_S124_fields_of_several_types(session: Any) -> None:
    found = session.inspect.datatypes("xnat:*", fields_pattern="*LABEL*")
    assert "xnat:subjectData/SUBJECT_LABEL" in found
    assert "xnat:mrSessionData/LABEL" in found
    assert all("LABEL" in one for one in found)


def test_S125_fields_of_one_type(session: Any) -> None:
    fields = session.inspect.datafields("xnat:mrSessionData")
    assert "xnat:mrSessionData/PROJECT" in fields
    assert session.inspect.datafields("xnat:mrSessionData", "PROJ*") == [
        "xnat:mrSessionData/PROJECT"
    ]
    assert session.inspect.datafields("xnat:mrSessionData", "PROJ*", prepend_type=False) == [
        "PROJECT"
    ]
    with pytest.raises(XNATResponseError, match="no:such"):
        session.inspect.datafields("no:suchData")


def test_S131_every_kind_of_session_and_scan_is_read(server: StandIn, session: Any) -> None:
    classes = session.classes
    lookup = classes.XNAT_CLASS_LOOKUP
    kinds = {
        xsi_type: lookup[xsi_type]
        for xsi_type in lookup
        if issubclass(lookup[xsi_type], classes.ImageSessionData)
        and lookup[xsi_type] is not classes.ImageSessionData
    }
    assert len(kinds) >= 25
    server.add_project("KINDS")
    scans = {
        xsi_type: cls
        for xsi_type, cls in lookup.items()
        if issubclass(cls, classes.ImageScanData) and cls is not classes.ImageScanData
    }
    for number, xsi_type in enumerate(kinds):
        server.add_session("KINDS", "S", f"E{number}", xsi_type=xsi_type)
    server.add_session(
        "KINDS",
        "S",
        "SCANS",
        scans={str(n): {"type": "T", "xsi_type": one} for n, one in enumerate(scans)},
    )
    session.clearcache()
    project = session.projects["KINDS"]
    for number, cls in enumerate(kinds.values()):
        assert type(project.experiments[f"E{number}"]) is cls
    listed = project.experiments["SCANS"].scans
    assert [type(scan) for scan in listed.values()] == list(scans.values())


def test_S131_experiments_that_are_no_sessions_are_read_as_well(
    server: StandIn, session: Any
) -> None:
    server.add_project("OTHERS")
    names = [name for name in dir(session.classes) if name.endswith(("Data", "Assessment"))]
    kinds = [
        getattr(session.classes, name)
        for name in names
        if issubclass(getattr(session.classes, name), session.classes.SubjectAssessorData)
        and not issubclass(getattr(session.classes, name), session.classes.ImageSessionData)
        and getattr(session.classes, name) is not session.classes.SubjectAssessorData
    ]
    assert kinds
    for number, cls in enumerate(kinds):
        server.add_session("OTHERS", "S", f"E{number}", xsi_type=cls._XSI_TYPE)
    session.clearcache()
    listed = session.projects["OTHERS"].experiments
    for number, cls in enumerate(kinds):
        assert type(listed[f"E{number}"]) is cls
        assert listed[f"E{number}"].data["label"] == f"E{number}"
