"""The official client pyxnat 1.6.4 on the stand-in."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.standin.objects import new_uid, study_zip
from tests.standin.site import Site

from .conftest import Peer

SCRIPT = "pyxnat_all"


def test_A5_create_change_delete(site: Site, peer: Peer) -> None:
    assert peer(SCRIPT, "create") == {
        "before": False,
        "after": [True, True, True],
        "type": "xnat:mrSessionData",
        "label": "S1_MR1",
        "scan": ["T1", "usable"],
        "note": "seen",
        "gender": "female",
        "assessors": ["S1_QC"],
        "file": ["5", "TEXT", "LOG", "one"],
        "same": True,
        "files": 0,
        "gone": [False, False, False],
        "project": False,
    }


def test_A3_listings(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    scans = {"1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"1"}}}, "2": "T2"}
    for label in ("A_MR1", "A_MR2", "B_MR1"):
        site.standin.add_session("P1", label[0], label, scans=scans)
    assert peer(SCRIPT, "listings", project="P1") == {
        "projects": ["P1"],
        "subjects": ["A", "B"],
        "experiments": ["A_MR1", "A_MR2", "B_MR1"],
        "pattern": ["XNAT_E00001"],  # patterns are matched with IDs
        "paths": 3,
        "scans": ["1", "2"],
        "resources": ["DICOM"],
        "files": ["1.dcm"],
        "array": ["A_MR1", "A_MR2", "B_MR1"],
        "scan array": 6,
        "last modified": True,
    }


def test_A6_upload_and_download(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    scans = {"1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"one"}}}}
    site.standin.add_session("P1", "S1", "S1_MR1", scans=scans)
    found = peer(SCRIPT, "upload", project="P1")
    one = hashlib.md5(b"one").hexdigest()
    for label in ("ZIP", "DIR", "LIST"):
        assert found[f"{label} bytes"] is True, label
        assert len(found[label]) == 2
    assert found["scans"] == {"1.dcm": one}
    assert found["copy"] == one


def test_A5_4_share_settings_members(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    site.standin.add_session("P1", "S1", "S1_MR1", scans={"1": "T1"})
    site.standin.add_project("P2")
    site.standin.state.users.add("rita", "rita", email="rita@example.org")
    assert peer(SCRIPT, "share", project="P1", other="P2") == {
        "shares": ["P1", "P2"],
        "other": ["S1"],
        "experiments": ["S1_MR1"],
        "left": [],
        "code": 0,
        "code then": 4,
        "access": "protected",
        "users": ["admin", "rita"],
        "role": "member",
        "users then": ["admin"],
        "all users": ["admin", "reader", "rita"],
        "mail": "rita@example.org",
    }


def test_A5_2_custom_variables_and_names(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    site.standin.add_session("P1", "S1", "S1_MR1", scans={"1": "T1"})
    assert peer(SCRIPT, "variables", project="P1") == {
        "status": "passed",
        "other": "words",
        "count": 2,
        "renamed": True,
        "document": True,
        "version": "1.8.10",
        "shown": True,
    }


def test_B9_search(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    for label in ("A_MR1", "A_MR2", "B_MR1"):
        site.standin.add_session("P1", label[0], label, scans={"1": "T1"})
    site.standin.add_session("P2", "A", "A_MR9", scans={"1": "T1"})
    assert peer(SCRIPT, "search", project="P1") == {
        "types": ["xnat:mrSessionData"],
        "fields": True,
        "labels": ["A_MR1", "A_MR2"],
        "everything": 4,
        "saved": ["mine"],
        "result": 2,
        "deleted": [],
    }


def test_B2_prearchive_services_tokens(site: Site, peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(study_zip(new_uid(), {1: 2}))
    project = site.project()
    found = peer(SCRIPT, "prearchive", zip=str(tmp_path / "study.zip"), project=project)
    assert found == {
        "import": 200,
        "project": project,
        "receiving": "RECEIVING",
        "ready": "READY",
        "scans": "1",  # one row becomes its bare value in this client
        "resources": "DICOM",
        "files": ["1-1.dcm", "1-2.dcm"],
        "uri": True,
        "move": "AttributeError",
        "archived": 200,
        "refreshed": 200,
        "dump": "S1_MR1",
        "token": True,
    }
