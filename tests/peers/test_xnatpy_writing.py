"""The official client xnat 0.8.1 writes to the stand-in."""

from __future__ import annotations

from tests.standin.site import Site

from .conftest import Peer


def test_A5_create_everything(site: Site, peer: Peer) -> None:
    found = peer("xnatpy_write", "create")
    assert found == {
        "subject": "S1",
        "experiment": "S1_MR1",
        "scan": "T1",
        "description": "a scan",
        "assessor": [["S1_QC", "xnat:qcManualAssessorData"]],
        "resources": {
            "project": ["NOTES"],
            "subject": ["FORMS"],
            "experiment": ["LOGS"],
            "scan": ["NIFTI"],
        },
    }
    assert site.rows("/projects/PX/subjects/S1/experiments/S1_MR1/scans")[0]["ID"] == "7"


def test_A5_change_fields_variables_and_names(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    site.standin.add_session("P1", "S1", "S1_MR1", scans={"1": "T1"})
    found = peer("xnatpy_write", "change", project="P1", subject="S1", session="S1_MR1")
    assert found["gender"] == "female"
    assert found["age"] == 31
    assert found["note"] == "seen"
    assert found["quality"] == "questionable"
    assert found["fields"] == {
        "project": {"site": "here"},
        "subject": {"handed": "left"},
        "experiment": {"qc_status": "failed"},
    }
    assert found["description"] == "words &amp; &lt;signs&gt;"  # stored escaped (A 0.2)
    assert found["experiments"] == ["RENAMED"]
    assert found["subjects"] == ["RENAMED_S"]


def test_A5_share_and_delete(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    scans = {"1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"1", "2.dcm": b"2"}}}, "2": "T2"}
    site.standin.add_session("P1", "S1", "S1_MR1", scans=scans)
    site.standin.add_project("P2")
    facts = {"project": "P1", "subject": "S1", "session": "S1_MR1", "other": "P2"}
    assert peer("xnatpy_write", "share", **facts) == {
        "subjects": ["S1"],
        "experiments": ["SHARED"],
    }
    assert peer("xnatpy_write", "unshare", **facts) == {"shared": 0, "own": 1}
    assert peer("xnatpy_write", "delete", **facts) == {
        "files": 1,
        "resources": 0,
        "scans": ["2"],
        "experiments": 0,
        "subjects": 0,
    }


def test_A6_4_upload_by_every_method(site: Site, peer: Peer) -> None:
    assert site.standin is not None
    site.standin.add_session("P1", "S1", "S1_MR1", scans={"1": "T1"})
    found = peer("xnatpy_write", "upload", project="P1", session="S1_MR1")
    for method in ("per_file", "tar_memory", "tgz_memory", "tar_file", "tgz_file"):
        assert found[method] == found["source"], method
    assert found["single"] == ["bytes.bin", "renamed.txt", "words.txt"]
    assert found["sizes"] == [[5], [10]]
    assert found["words"] == "more words"
    assert found["facts"] == [["CSV", "TEXT", "one,two"]]
    assert found["digests"] is True
