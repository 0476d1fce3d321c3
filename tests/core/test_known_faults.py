"""Faults of the published clients that are absent here (wire contract A 8, B 13)."""

from __future__ import annotations

import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.standin.objects import study_files, study_zip, tarred
from xnat_luigi import uris
from xnat_luigi.exceptions import XNATError, XNATUnsafeNameError
from xnat_luigi.rest.answers import number
from xnat_luigi.rest.files.upload import create_resource
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

UID = "1.2.826.0.1.42"
LOGIN_PAGE = "<!DOCTYPE html><html><!-- BEGIN xnat-templates/screens/Login.vm --></html>"


def queries(site: StandIn, end: str) -> list[dict[str, list[str]]]:
    """What was asked at addresses that end so."""
    return [parse_qs(one.query) for one in site.requests if one.path.endswith(end)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "study.zip"
    path.write_bytes(study_zip(UID, {1: 1}, session="IN_MR"))
    return path


def test_A8_1_a_login_page_is_never_data(
    session: Any, experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    file = experiment.resources["LOGS"].files["log.txt"]
    for fault in (
        Fault(method="GET", path=r"files/log\.txt", replace=LOGIN_PAGE),
        Fault(method="GET", path=r"files/log\.txt", status=200, html=True),
        Fault(method="GET", path=r"files/log\.txt", redirect="/app/template/Login.vm"),
    ):
        site.faults.add(fault)
        with pytest.raises(XNATError):
            file.download(tmp_path / "x.txt")
        site.faults.clear()
    site.faults.add(Fault(method="GET", path="format=zip", status=200, html=True))
    with pytest.raises(XNATError):
        experiment.resources["LOGS"].download(tmp_path / "x.zip")
    site.faults.clear()
    site.faults.add(Fault(method="GET", path="/data/projects", replace=LOGIN_PAGE))
    session.clearcache()
    with pytest.raises(XNATError):
        list(session.projects)
    site.faults.clear()
    assert list(tmp_path.iterdir()) == []


def test_A8_1_a_real_page_is_a_file_like_any_other(experiment: Any, tmp_path: Path) -> None:
    resource = experiment.create_resource("WEB")
    page = "<!DOCTYPE html><html><body>a report</body></html>"
    resource.upload(page, "report.html")
    resource.files["report.html"].download(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == page


def test_A8_4_json_is_always_asked_for(session: Any, experiment: Any, site: StandIn) -> None:
    assert experiment.data and experiment.scans["1"].data
    items = [
        one
        for one in site.requests
        if one.method == "GET" and "/data/experiments/" in one.path and "/files/" not in one.path
    ]
    assert items and all("format=json" in one.query for one in items)


def test_A8_6_resources_have_an_address_though_their_rows_have_none(experiment: Any) -> None:
    resource = experiment.scans["1"].resources["DICOM"]
    assert resource.uri == f"/data/experiments/{experiment.id}/scans/1/resources/{resource.id}"


def test_A8_8_9_one_session_is_one_object_however_many_rows(project: Any, site: StandIn) -> None:
    table = project.experiments.tabulate(columns=["label", "xnat:imageScanData/type"])
    assert len({row[0] for row in table}) == 2 and len(table) > 2  # the join's rows, as asked for
    assert len(project.experiments) == 2


def test_A8_15_a_resource_that_somebody_else_made_first(
    experiment: Any, session: Any, site: StandIn
) -> None:
    place = uris.Address(experiment=experiment.id)
    assert create_resource(session.connection, place, "RACE")
    assert not create_resource(session.connection, place, "RACE")
    assert [one.label for one in experiment.resources.listing].count("RACE") == 1


@pytest.mark.parametrize(
    ("text", "value"), [("176", 176), ("", None), ("176.0", 176), ("many", None), (" 12 ", 12)]
)
def test_A8_16_counts_that_are_no_numbers(text: str, value: int | None) -> None:
    assert number(text) == value


def test_A8_16_a_resource_without_counts(experiment: Any, site: StandIn) -> None:
    resource = experiment.resources["LOGS"]
    resource._cache["row"]["file_count"] = resource._cache["row"]["file_size"] = ""
    assert resource.file_count is None and resource.file_size is None


@pytest.mark.parametrize("text", ["2024-06-11 10:11:12.345", "2024-06-11 10:11:12.0"])
def test_A8_17_timestamps_with_any_fraction(session: Any, archive: Path, text: str) -> None:
    waiting = session.services.import_(archive, project="P1", destination="/prearchive")
    row = waiting._row()
    waiting._cache["row"] = type(row)(**{**vars(row), "uploaded": text})
    assert waiting.uploaded.year == 2024 and waiting.uploaded.second == 12


def test_A8_20_a_new_object_is_reached_by_its_id(session: Any, project: Any, site: StandIn) -> None:
    made = session.classes.SubjectData(parent=project, label="NEW")
    assert made.uri == f"/data/subjects/{made.id}" and made.id != "NEW"


def test_A8_21_shared_objects_have_the_labels_of_the_project(session: Any, experiment: Any) -> None:
    experiment.subject.share("P2", "X1")
    experiment.share("P2", "X1_MR")
    (shared,) = session.projects["P2"].experiments.listing
    (owned,) = (one for one in session.projects["P1"].experiments.listing if one.id == shared.id)
    assert (shared.label, owned.label) == ("X1_MR", "S1_MR1")
    (scan, *_) = shared.scans.listing
    assert scan.resources["DICOM"].files["1.dcm"].file_size == 3


def test_B1_3_parameters_are_spelt_as_the_server_reads_them(
    session: Any, archive: Path, site: StandIn
) -> None:
    session.services.import_(archive, project="P1", trigger_pipelines=False, quarantine=True)
    (sent,) = queries(site, "/services/archive")
    assert (sent["triggerPipelines"], sent["quarantine"]) == (["false"], ["true"])
    assert sent["auto-archive"] == ["false"]
    (imported,) = queries(site, "/services/import")
    assert imported["import-handler"] == ["DICOM-zip"]
    assert "destination" not in imported and "overwrite" not in imported
    root = site.root / "inbox"
    site.preferences["inboxPath"] = str(root)
    (root / "P1" / "one").mkdir(parents=True)
    (root / "P1" / "one" / "1.dcm").write_bytes(next(iter(study_files("1.2.3.77").values())))
    session.services.import_dicom_inbox(str(root / "P1" / "one"), project="P1", experiment="INBOX")
    sent = queries(site, "/services/import")[-1]
    assert sent["cleanupAfterImport"] == ["false"]


def test_B1_1_a_gzipped_tar_is_no_plain_tar(session: Any, site: StandIn, tmp_path: Path) -> None:
    for name, mode in (("plain.tar", "w"), ("packed.tar.gz", "w:gz"), ("packed.tgz", "w:gz")):
        path = tmp_path / name
        label = name.replace(".", "_")
        path.write_bytes(
            tarred(
                study_files(f"{UID}.{len(label)}.{mode.count(':')}", {1: 1}, session=label), mode
            )
        )
        assert session.services.import_(path, project="P1", subject=f"S_{label}").label == label


def test_B2_2_prearchive_routes_of_1_7_0_to_1_7_2(
    session: Any, archive: Path, site: StandIn
) -> None:
    waiting = session.services.import_(archive, project="P1", destination="/prearchive")
    path = r"/prearchive/projects/P1/\d+_\d+/IN_MR\?format=json"
    site.faults.add(Fault(method="GET", path=path, status=404))
    waiting.clearcache()
    assert (waiting.status, waiting.name) == ("READY", "IN_MR")
    made = waiting.archive()
    site.faults.clear()
    assert made.label == "IN_MR"


def test_B2_5_orders_about_rows_take_redirects_without_a_location(
    session: Any, archive: Path, site: StandIn
) -> None:
    waiting = session.services.import_(archive, project="P1", destination="/prearchive")
    assert waiting.move("P2").status_code == 301
    assert waiting.project == "P2"


def test_B13_the_project_that_was_asked_for_and_no_other(session: Any, archive: Path) -> None:
    with pytest.raises(XNATError, match="Unassigned"):
        session.services.import_(archive, project="UNKNOWN")


def test_B13_nothing_is_created_before_archiving(
    session: Any, archive: Path, site: StandIn
) -> None:
    session.services.import_(archive, project="P1", subject="NEWSUBJ")
    puts = [one.path for one in site.requests if one.method == "PUT" and "/data/proj" in one.path]
    assert puts == []


def test_B5_1_a_refresh_always_says_what_to_do(
    session: Any, experiment: Any, site: StandIn
) -> None:
    experiment.resources["LOGS"].refresh_catalog()
    session.services.refresh_catalog(experiment, delete=True)
    first, second = queries(site, "/services/refresh/catalog")
    assert first["options"] == ["append,checksum,populateStats"]
    assert second["options"] == ["delete"]


def test_B6_dumps_name_their_source_through_the_project(
    session: Any, experiment: Any, site: StandIn
) -> None:
    experiment.scans["1"].dicom_dump()
    (sent,) = queries(site, "/services/dicomdump")
    source = sent["src"][0]
    assert source.startswith("/archive/projects/P1/subjects/") and source.endswith("/scans/1")


def test_A6_4_a_gz_is_never_gunzipped_by_the_way(
    experiment: Any, session: Any, tmp_path: Path
) -> None:
    (tmp_path / "x.nii.gz").write_bytes(b"not really gzip")
    resource = experiment.create_resource("NEW")
    resource.upload(str(tmp_path / "x.nii.gz"), "x.nii.gz")
    resource.upload_dir(tmp_path)
    assert [one.path for one in resource.files.listing] == ["x.nii.gz"]


def test_A6_7_resources_and_files_in_names_do_not_confuse(experiment: Any, tmp_path: Path) -> None:
    source = tmp_path / "source" / "resources" / "x" / "files"
    source.mkdir(parents=True)
    (source / "1.txt").write_text("one")
    (tmp_path / "source" / "files" / "1").mkdir(parents=True)
    (tmp_path / "source" / "files" / "1" / "2.txt").write_text("two")
    resource = experiment.scans["1"].create_resource("ODD", data_dir=tmp_path / "source")
    assert {one.path for one in resource.files.listing} == {
        "resources/x/files/1.txt",
        "files/1/2.txt",
    }
    resource.download_dir(tmp_path / "back")
    root = tmp_path / "back/S1_MR1/scans/1-T1/resources/ODD/files"
    assert (root / "resources/x/files/1.txt").read_text() == "one"
    assert (root / "files/1/2.txt").read_text() == "two"
    resource.download(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert len(archive.namelist()) == 2


def test_A7_labels_that_look_like_numbers_are_refused(experiment: Any) -> None:
    with pytest.raises(XNATUnsafeNameError, match="numeric id"):
        experiment.create_resource("123")


def test_B12_dumps_of_one_process_follow_each_other(
    session: Any, experiment: Any, site: StandIn
) -> None:
    scan = experiment.scans["1"]
    scan.dicom_dump()
    site.faults.add(Fault(method="GET", path="/dicomdump", delay=0.1))
    begin = time.perf_counter()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: scan.dicom_dump(), range(3)))
    assert time.perf_counter() - begin >= 0.3  # one after the other
    site.faults.clear()
