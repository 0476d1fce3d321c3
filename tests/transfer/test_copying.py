"""A project onto another server, proven and resumable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi import uris
from xnat_luigi.cli import main
from xnat_luigi.cli.copy_project import main as xnat_cp_project
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATConnectionError, XNATError, XNATNotFoundError
from xnat_luigi.rest import contents, items, listings
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.transfer.copying import copy_project
from xnat_luigi.transfer.select import Selection


@pytest.fixture
def other() -> Iterator[StandIn]:
    """The server that is copied to."""
    with StandIn(users={"admin": "admin"}) as server:
        yield server


def connect(server: StandIn, user: str = "admin", password: str = "admin") -> Connection:
    return Connection(
        Transport(server.url), Credentials(user, password), sleep=lambda seconds: None
    )


@pytest.fixture
def source(standin: StandIn) -> Iterator[Connection]:
    standin.add_project(
        "P1", name="first", description="a <b> & c", resources={"DOCS": {"a b.txt": b"a"}}
    )
    standin.add_subject(
        "P1", "S2", demographics={"gender": "female", "age": 30}, resources={"NOTES": {"n": b"n"}}
    )
    standin.add_session(
        "P1",
        "S1",
        "S1_MR1",
        scans={
            "1": {
                "type": "T1",
                "frames": "12",
                "quality": "questionable",
                "resources": {"DICOM": {"1.dcm": b"one", "2.dcm": b"two two"}},
            },
            "2": {"type": "T2", "resources": {"NII": {"sub/ü #.nii": b"yy", "empty": b""}}},
        },
        resources={"LOGS": {"log.txt": b"it ran"}},
        UID="1.2.3",
        date="2024-02-01",
        custom={"cohort": "A"},
    )
    standin.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    connection = connect(standin)
    yield connection
    standin.faults.clear()
    connection.close()


@pytest.fixture
def target(other: StandIn) -> Iterator[Connection]:
    connection = connect(other)
    yield connection
    other.faults.clear()
    connection.close()


def digests(conn: Connection, project: str) -> dict[tuple[str, ...], str]:
    """All files of all experiments of a project with their digests, without IDs."""
    found: dict[tuple[str, ...], str] = {}
    for session in listings.list_experiments(conn, project):
        for file in contents.list_session_files(conn, session.id):
            parts = file.uri.partition("/resources/")[0].split("/")
            kind = parts[-2] if "assessors" not in parts else "assessors"
            parent = parts[-1] if kind == "scans" else ""
            key = (session.label, kind, parent, file.resource_label, file.path)
            found[key] = file.digest
    return found


def test_S254_a_whole_project(source: Connection, target: Connection) -> None:
    done = copy_project(source, target, "P1", "NEW")
    assert done.failed == [] and done.shared == []
    assert (done.subjects, done.experiments, done.assessors) == (2, 1, 1)
    assert (done.files, done.kept, done.resources) == (8, 0, 6)
    assert digests(target, "NEW") == digests(source, "P1") and len(digests(target, "NEW")) == 6
    project = items.get_item(target, uris.project("NEW"))
    assert (project.text("name"), project.text("description")) == ("first", "a <b> & c")
    session = items.get_item(target, uris.experiment("S1_MR1", "NEW"))
    assert (session.text("UID"), session.text("date")) == ("1.2.3", "2024-02-01")
    assert session.listed("fields/field")[0].text("field") == "A"
    (first, second) = listings.list_scans(target, session.text("ID"))
    assert (first.type, first.quality, second.type) == ("T1", "questionable", "T2")
    (assessor,) = listings.list_assessors(target, session.text("ID"))
    assert (assessor.label, assessor.xsi_type) == ("QC1", "xnat:qcAssessmentData")
    subject = items.get_item(target, uris.subject("S2", "NEW"))
    assert subject.listed("demographics")[0].text("gender") == "female"
    place = uris.Address(project="NEW", subject=subject.text("ID"))
    assert [one.path for one in contents.list_files(target, place)] == ["n"]
    own = contents.list_files(target, uris.Address(project="NEW"))
    assert [one.path for one in own] == ["a b.txt"]
    scan = uris.Address(experiment=session.text("ID"), scan="1")
    (resource,) = contents.list_resources(target, scan)
    assert (resource.format, resource.content, resource.file_count) == ("DICOM", "RAW", 2)


def test_a_second_copy_sends_no_file(
    source: Connection, target: Connection, other: StandIn, standin: StandIn
) -> None:
    copy_project(source, target, "P1")
    before = sum("/files/" in one.path and one.method == "PUT" for one in other.requests)
    standin.add_session("P1", "S1", "S1_MR1", resources={"LOGS": {"new.txt": b"new"}})
    done = copy_project(source, target, "P1")
    assert (done.files, done.kept, done.failed) == (1, 8, [])
    after = sum("/files/" in one.path and one.method == "PUT" for one in other.requests)
    assert after == before + 1
    assert digests(target, "P1") == digests(source, "P1")
    assert len(listings.list_experiments(target, "P1")) == 1


def test_N3_a_copy_that_broke_off_goes_on(
    source: Connection, target: Connection, standin: StandIn
) -> None:
    standin.faults.add(Fault(method="GET", path=r"files/2\.dcm", reset=True))
    ((place, _),) = copy_project(source, target, "P1").failed
    assert place.endswith("DICOM/2.dcm")
    standin.faults.clear()
    standin.faults.add(Fault(method="GET", path=r"files/2\.dcm", cut=3, times=1))
    done = copy_project(source, target, "P1")
    assert (done.failed, done.files, done.kept) == ([], 1, 7)
    standin.faults.clear()
    standin.faults.add(Fault(path="/data/", reset=True))
    with pytest.raises(XNATConnectionError):
        copy_project(source, target, "P1")
    standin.faults.clear()
    assert digests(target, "P1") == digests(source, "P1")


def archives(server: StandIn) -> list[str]:
    """The zips of scan 1 that were sent."""
    sent = (one for one in server.requests if one.method == "PUT" and "extract" in str(one.query))
    return [one.path for one in sent if "/scans/1/" in one.path]


def test_N8_a_zip_that_arrived_though_its_answer_was_lost_is_not_sent_again(
    source: Connection, target: Connection, other: StandIn
) -> None:
    other.faults.add(Fault(method="PUT", path="/scans/1/.*extract", rewrite_status=504, times=1))
    done = copy_project(source, target, "P1")
    assert (done.failed, done.files) == ([], 8)
    assert len(archives(other)) == 1
    assert digests(target, "P1") == digests(source, "P1")


def test_N8_a_zip_that_may_be_on_its_way_is_waited_for(source: Connection, other: StandIn) -> None:
    slept: list[float] = []
    target = Connection(Transport(other.url), Credentials("admin", "admin"), sleep=slept.append)
    other.faults.add(Fault(method="PUT", path="/scans/1/.*extract", status=504, times=1))
    done = copy_project(source, target, "P1")
    target.close()
    assert (done.failed, done.files, sum(slept)) == ([], 8, 30)
    assert len(archives(other)) == 2


def test_an_assessor_that_comes_meanwhile_keeps_nothing_back(
    source: Connection, target: Connection, standin: StandIn
) -> None:
    def add(text: str) -> None:
        if text.startswith("experiment"):
            standin.add_assessor("P1", "S1_MR1", "QC2", resources={"REPORT": {"new": b"new"}})

    done = copy_project(source, target, "P1", progress=add)
    ((_, said),) = done.failed
    assert "came while we copied" in said
    assert done.files == 8
    done = copy_project(source, target, "P1")
    assert (done.failed, done.files) == ([], 1)


def test_N11_a_flipped_byte_never_arrives(
    source: Connection, target: Connection, standin: StandIn
) -> None:
    standin.faults.add(Fault(method="GET", path=r"files/log\.txt", flip=2))
    done = copy_project(source, target, "P1")
    ((place, reason),) = done.failed
    assert place.endswith("LOGS/log.txt") and "MD5" in reason
    rest = {key: digest for key, digest in digests(source, "P1").items() if "log.txt" not in key}
    assert digests(target, "P1") == rest  # what could be copied is there
    standin.faults.clear()
    assert copy_project(source, target, "P1").failed == []
    assert digests(target, "P1") == digests(source, "P1")


def test_a_file_that_misses_on_the_source_keeps_no_other_back(
    source: Connection, target: Connection, standin: StandIn
) -> None:
    for found in (standin.root / "archive").rglob("1.dcm"):
        found.unlink()
    ((place, reason),) = copy_project(source, target, "P1").failed
    assert place.endswith("DICOM/1.dcm") and "404" in reason
    assert {key[-1] for key in digests(target, "P1") if "DICOM" in key} == {"2.dcm"}


def test_without_digests_on_the_target_the_files_are_read_back(
    source: Connection, target: Connection, other: StandIn
) -> None:
    other.preferences["checksums"] = False
    done = copy_project(source, target, "P1")
    assert (done.files, done.failed) == (8, [])
    reads = [one for one in other.requests if one.method == "GET" and "log.txt" in one.path]
    assert len(reads) == 1
    again = copy_project(source, target, "P1")
    assert (again.files, again.kept, again.failed) == (0, 8, [])


def test_other_content_on_the_target_is_replaced_only_when_told(
    source: Connection, target: Connection
) -> None:
    from xnat_luigi.rest.files.upload import put_file

    copy_project(source, target, "P1")
    session = items.get_item(target, uris.experiment("S1_MR1", "P1")).text("ID")
    here = uris.Address(experiment=session)
    put_file(target, here, "LOGS", "log.txt", b"others", overwrite=True)
    done = copy_project(source, target, "P1")
    ((place, reason),) = done.failed
    assert "LOGS" in place and "log.txt" in reason and "overwrite" in reason
    assert digests(target, "P1") != digests(source, "P1")
    assert copy_project(source, target, "P1", overwrite=True).files == 1
    assert digests(target, "P1") == digests(source, "P1")


def test_a_copy_beside_itself(source: Connection) -> None:
    assert copy_project(source, source, "P1", "BESIDE").failed == []
    assert digests(source, "BESIDE") == digests(source, "P1")
    assert items.get_item(source, uris.project("BESIDE")).text("name") == "BESIDE"
    assert items.get_item(source, uris.project("BESIDE")).text("description") == "a <b> & c"


def test_A6_4_without_the_right_to_edit_nothing_is_claimed(
    source: Connection, other: StandIn
) -> None:
    other.add_project("P1")
    other.add_user("looker", "secret", P1="collaborator")
    looker = connect(other, "looker", "secret")
    done = copy_project(source, looker, "P1")
    looker.close()
    assert done.files == 0 and done.failed
    assert any("S1" in place for place, _ in done.failed)


def test_items_of_other_projects_are_left_out(
    source: Connection, target: Connection, standin: StandIn
) -> None:
    id_ = standin.add_session("P2", "X1", "X1_MR")
    subject = listings.list_subjects(source, "P2")[0].id
    items.share(source, uris.subject(subject), "P1", label="X1")
    items.share(source, uris.experiment(id_), "P1", label="X1_MR")
    done = copy_project(source, target, "P1")
    assert done.shared == ["X1"] and done.failed == []
    assert len(listings.list_experiments(target, "P1")) == 1


def test_an_experiment_of_another_subject_is_left_alone(
    source: Connection, target: Connection, other: StandIn
) -> None:
    other.add_session("P1", "SOMEBODY", "S1_MR1", UID="9.9")
    done = copy_project(source, target, "P1")
    assert any("left alone" in reason for _, reason in done.failed)
    found = items.get_item(target, uris.experiment("S1_MR1", "P1"))
    assert found.text("UID") == "9.9"


def test_only_what_is_selected(source: Connection, target: Connection) -> None:
    done = copy_project(source, target, "P1", selection=Selection(resources=("DICOM",)))
    assert (done.files, done.subjects) == (2, 1)
    with pytest.raises(XNATNotFoundError, match=r"no project .NOPE. that admin can see"):
        copy_project(source, target, "NOPE")
    with pytest.raises(XNATError, match="refused"):
        copy_project(source, target, "P1", "bad name")


def test_S254_the_command(
    source: Connection,
    standin: StandIn,
    other: StandIn,
    netrc: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--source-host", standin.url, "--source-project", "P1", "--dest-host", other.url]
    assert xnat_cp_project(words) == 0
    shown = capsys.readouterr()
    assert "8 files with 24 bytes copied, 0 were there" in shown.out
    assert "experiment S1/S1_MR1" in shown.err
    assert main(["copy-project", *words, "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["kept"]) == (0, 8)
    assert main(["copy-project", "--server", standin.url, "--project", "P1"]) == 2
    assert "onto itself" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        xnat_cp_project(["--help"])
    assert ended.value.code == 0 and "another server" in capsys.readouterr().out
