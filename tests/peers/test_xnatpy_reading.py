"""The official client xnat 0.8.1 reads from the stand-in."""

from __future__ import annotations

import hashlib

from tests.standin.objects import new_uid, study_files
from tests.standin.site import Site
from xnat_luigi.standin import StandIn

from .conftest import Peer


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.md5(data).hexdigest() for name, data in files.items()}


def test_B3_witness_lists_and_downloads_what_was_archived(site: Site, peer: Peer) -> None:
    project = site.project()
    studies = {label: new_uid() for label in ("SE1", "SE2")}
    for label, study in studies.items():
        site.archived(project, study, subject="SU", session=label, scans={1: 3, 4: 1})
    found = peer("xnatpy_read", "witness", project=project)
    assert set(found["experiments"]) == {"SE1", "SE2"}
    for label, study in studies.items():
        seen = found["experiments"][label]
        files = study_files(study, {1: 3, 4: 1}, subject="SU", session=label)
        assert seen["files"] == digests(files)
        assert (seen["subject"], seen["type"], seen["uid"]) == ("SU", "xnat:mrSessionData", study)
        assert seen["scans"] == {
            "1": {"DICOM": ["1-1.dcm", "1-2.dcm", "1-3.dcm"]},
            "4": {"DICOM": ["4-1.dcm"]},
        }


def test_A6_7_the_same_bytes_at_every_level(site: Site, peer: Peer) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study, subject="SU", session="SE", scans={1: 2})
    found = peer(
        "xnatpy_read", "every_level", project=project, subject="SU", session="SE", scan="1"
    )
    files = study_files(study, {1: 2}, subject="SU", session="SE")
    for level in ("file", "resource", "scan", "session", "subject", "project"):
        assert found[level] == digests(files), (level, found[f"{level} paths"])
    assert found["size"] == sum(map(len, files.values()))
    assert found["zip size"] > found["size"]
    assert found["header"] == "SE"


def test_A3_listings_and_filters(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    server = site.standin
    for label in ("A_MR1", "A_MR2", "B_MR1"):
        server.add_session("P1", label[0], label, date="2024-02-01", scans={"1": "T1", "2": "T2"})
    server.add_session("P2", "C", "C_MR1")
    found = peer("xnatpy_read", "listings", project="P1", pattern="A_*")
    assert found["projects"] == ["P1", "P2"]
    assert found["subjects"] == ["A", "B"]
    assert found["experiments"] == ["A_MR1", "A_MR2", "B_MR1"]
    assert found["filtered"] == ["A_MR1", "A_MR2"]
    assert found["table"] == [[label, "2024-02-01"] for label in found["experiments"]]
    assert found["everywhere"] == ["A_MR1", "A_MR2", "B_MR1", "C_MR1"]
    assert found["scan types"] == ["T1", "T2"]
    assert found["missing"] is False


def test_A0_1_below_a_context_path(peer: Peer) -> None:
    with StandIn(context="/xnat") as server:
        files = {"a.txt": b"first", "deep/b.txt": b"second"}
        scans = {"1": {"type": "T1", "resources": {"R": files}}}
        server.add_session("P1", "S1", "S1_MR1", scans=scans, UID="1.2.3")
        found = peer("xnatpy_read", "witness", url=server.url, project="P1")
    seen = found["experiments"]["S1_MR1"]
    assert seen["scans"] == {"1": {"R": ["a.txt", "deep/b.txt"]}}
    assert set(seen["files"]) == {"a.txt", "b.txt"}
