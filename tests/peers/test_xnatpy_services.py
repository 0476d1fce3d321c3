"""The official client xnat 0.8.1 imports, archives, refreshes, searches."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.standin.objects import dicom, new_uid, study_files, zipped
from tests.standin.site import Site

from .conftest import Peer


def test_B2_import_and_prearchive(site: Site, peer: Peer, tmp_path: Path) -> None:
    files = study_files(new_uid(), {1: 2, 3: 1})
    (tmp_path / "study.zip").write_bytes(zipped(files))
    facts = {"project": site.project(), "other": site.project()}
    found = peer("xnatpy_services", "prearchive", zip=str(tmp_path / "study.zip"), **facts)
    assert found["row"] == "PrearchiveSession"
    assert found["hidden"] == 0  # this client hides RECEIVING rows
    assert found["shown"] == [["RECEIVING", "SU", "SE"]]
    assert found["built"] == "READY"
    assert found["scans"] == ["1", "3"]
    assert found["description"] == "series 1"
    assert found["files"] == ["1-1.dcm", "1-2.dcm"]
    assert found["sizes"] == sorted(len(files[name]) for name in ("1-1.dcm", "1-2.dcm"))
    assert found["dump"] == ["S1_MR1"]
    assert found["zip"] is True
    assert found["moved"] == ["READY"]
    assert found["experiment"] == ["FINAL", facts["other"], "SU"]
    assert found["digests"] == {n: hashlib.md5(data).hexdigest() for n, data in files.items()}
    assert found["left"] == 0


def test_B1_import_to_the_archive_and_conflicts(site: Site, peer: Peer, tmp_path: Path) -> None:
    files = study_files(new_uid())
    (tmp_path / "study.zip").write_bytes(zipped(files))
    source = tmp_path / "source"
    source.mkdir()
    for name, data in study_files(new_uid()).items():
        (source / name).write_bytes(data)
    found = peer(
        "xnatpy_services",
        "straight",
        zip=str(tmp_path / "study.zip"),
        source=str(source),
        project=site.project(),
    )
    assert found == {
        "archived": ["MrSessionData", "ONE", "SU"],
        "folder": "TWO",
        "stream": "THREE",
        "unknown handler": True,
        "conflict": 500,
        "row": ["CONFLICT"],
        "overwritten": "ONE",
    }


def test_B7_inbox_and_direct_archive(site: Site, peer: Peer, tmp_path: Path) -> None:
    assert site.standin is not None
    project, study = site.project(), new_uid()
    folder = site.standin.services.inbox.root / project / "sess1"
    folder.mkdir(parents=True)
    for name, data in study_files(new_uid()).items():
        (folder / name).write_bytes(data)
    (tmp_path / "study.zip").write_bytes(zipped(study_files(study)))
    found = peer(
        "xnatpy_services",
        "inbox",
        project=project,
        inbox=str(folder),
        zip=str(tmp_path / "study.zip"),
    )
    assert found == {
        "status": "Processed",
        "who": ["admin", project, "SU"],
        "rows": ["SE"],
        "cleanup": "clenaupAfterImport",
        "direct": "KeyError",
    }
    assert site.get(f"/xapi/direct-archive/{project}/{study}/DIRECT").status_code == 200


def test_B5_B6_refresh_and_dump(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    project, study = site.project(), new_uid()
    address = site.archived(project, study, subject="SU", session="SE", scans={1: 1})
    experiment = site.get(address, params={"format": "json"}).json()["items"][0]["data_fields"][
        "ID"
    ]
    folder = site.standin.root / "archive" / project / "arc001" / "SE" / "SCANS" / "1" / "DICOM"
    extra = dicom(study, 1, 9, subject="SU", session="SE")
    (folder / "by-hand.dcm").write_bytes(extra)
    found = peer(
        "xnatpy_services", "refresh", experiment=experiment, source=f"/archive{address}/scans/1"
    )
    first = dicom(study, 1, 1, subject="SU", session="SE")
    assert found["before"] == ["1-1.dcm"]
    assert found["after"] == {
        "1-1.dcm": hashlib.md5(first).hexdigest(),
        "by-hand.dcm": hashlib.md5(extra).hexdigest(),
    }
    assert (found["count"], found["size"]) == (2, len(first) + len(extra))
    assert found["dump"] > 15
    assert found["fields"] == ["Patient's Name", "Patient ID"]


def test_B8_tokens_and_users(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    project = site.project()
    site.standin.state.users.add("rita", "rita", email="rita@example.org")
    found = peer("xnatpy_services", "tokens_and_users", project=project)
    assert found["users"] == ["admin", "reader", "rita"]
    assert found["mail"] == "rita@example.org"
    assert found["members"] == [["admin", "Owners"], ["rita", "Collaborators"]]
    assert found["removed"] == ["admin"]
    assert found["logged in"] == "admin"
    assert found["as rita"] == "rita"


def test_B9_search(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    for label in ("A_MR1", "A_MR2", "B_MR1"):
        site.standin.add_session("P1", label[0], label, date="2024-02-01", scans={"1": "T1"})
    found = peer("xnatpy_services", "search", project="P1")
    assert found == {
        "like": ["A_MR1", "A_MR2"],
        "one": "A_MR2",
        "table": 3,
        "subjects": ["A", "B"],
        "types": ["xnat:mrSessionData"],
        "fields": True,
    }
