"""The import service (wire contract B 1)."""

from __future__ import annotations

import pytest

from .objects import CAPTURE, CT, MR, dicom, new_uid, study_files, study_zip, tarred, zipped
from .site import Site

NOT_DICOM = b"this is text and no DICOM object"


def test_B1_only_post(site: Site) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert site.call(method, "/services/import").status_code == 405


def test_B1_guest_is_refused(own_site: Site) -> None:
    guest = own_site.as_user("")
    assert guest.send(study_zip(new_uid()), project="P").status_code == 401


def test_B1_1_raw_zip_without_length_is_taken(site: Site) -> None:
    project = site.project()
    body = study_zip(new_uid())
    answer = site.send(iter([body[:100], body[100:]]), project=project)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert answer.text.startswith(f"/data/prearchive/projects/{project}/")


def test_B1_1_other_types_need_a_length(site: Site) -> None:
    body = tarred(study_files(new_uid()))
    answer = site.send(iter([body]), "application/x-tar", project=site.project())  # type: ignore[arg-type]
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("media", "mode", "accepted"),
    [
        ("application/x-tar", "w", True),
        ("application/x-tar", "w:gz", False),  # read as a plain tar
        ("application/x-gtar", "w:gz", True),
        ("application/x-gzip", "w:gz", False),
        ("application/octet-stream", "w", False),
    ],
)
def test_B1_1_type_decides_the_format(site: Site, media: str, mode: str, accepted: bool) -> None:
    body = tarred(study_files(new_uid()), mode)
    answer = site.send(body, media, project=site.project())
    assert answer.status_code == (200 if accepted else 400)


def test_B1_1_name_in_the_path_beats_the_type(site: Site) -> None:
    answer = site.post(
        "/services/import/study.tgz",
        tarred(study_files(new_uid()), "w:gz"),
        params={"import-handler": "DICOM-zip", "project": site.project(), "inbody": "true"},
        headers={"Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 200


def test_B1_1_multipart_fields_are_parameters(site: Site) -> None:
    project = site.project()
    answer = site.post(
        "/services/import",
        {"import-handler": "DICOM-zip", "project": project, "session": "GIVEN"},
        files={"file": ("study.zip", study_zip(new_uid()), "application/zip")},
    )
    assert answer.status_code == 200
    assert answer.text.strip().startswith(f"/data/prearchive/projects/{project}/")
    assert answer.text.strip().endswith("/GIVEN")


def test_B1_1_multipart_takes_one_file_and_no_reference(site: Site) -> None:
    body = study_zip(new_uid())
    two = site.post(
        "/services/import",
        {"project": "P"},
        files=[("a", ("a.zip", body)), ("b", ("b.zip", body))],
    )
    assert two.status_code == 400
    assert "limited to one uploaded resource" in two.text
    reference = site.post(
        "/services/import", {"reference": "x"}, files={"a": ("a.zip", body, "application/zip")}
    )
    assert reference.status_code == 400


def test_B1_1_form_is_refused(site: Site) -> None:
    assert site.post("/services/import", {"project": "P1"}).status_code == 400


def test_B1_1_unknown_type_in_body_is_unsupported(site: Site) -> None:
    answer = site.post(
        "/services/import",
        study_zip(new_uid()),
        params={"import-handler": "DICOM-zip", "inbody": "true"},
        headers={"Content-Type": "application/weird"},
    )
    assert answer.status_code == 400


def test_B1_1_source_in_the_user_cache(site: Site) -> None:
    project, name = site.project(), new_uid().replace(".", "")[-20:]
    path = f"/user/cache/resources/{name}/files/study.zip"
    put = site.put(path, study_zip(new_uid()), params={"inbody": "true"})
    assert put.status_code == 200
    query = {"import-handler": "DICOM-zip", "project": project, "src": path}
    assert site.post("/services/import", params=query).status_code == 200
    assert len(site.rows(f"/prearchive/projects/{project}")) >= 1
    query["src"] = "/user/cache/resources/nothing/files/there.zip"
    assert site.post("/services/import", params=query).status_code == 404
    query["src"] = "/somewhere"
    assert site.post("/services/import", params=query).status_code == 400


def test_B1_1_nothing_sent(site: Site) -> None:
    query = {"import-handler": "DICOM-zip"}
    assert site.post("/services/import", params=query).status_code == 400


def test_B1_2_unknown_handler(site: Site) -> None:
    answer = site.send(study_zip(new_uid()), handler="PRCF")
    assert answer.status_code == 404
    assert "Unknown importer implementation specified: PRCF" in answer.text


def test_B1_2_gradual_takes_one_object(site: Site) -> None:
    project = site.project()
    answer = site.post(
        "/services/import",
        dicom(new_uid()),
        params={"project": project},
        headers={"Content-Type": "application/dicom"},  # chooses the handler by itself
    )
    assert answer.status_code == 200
    assert answer.text.endswith("\r\n")
    assert len(answer.text.split()) == 1


def test_B1_2_session_importer_makes_a_new_row_each_time(site: Site) -> None:
    project, body = site.project(), study_zip(new_uid())
    first = site.send(body, handler="SI", project=project).text.strip()
    site_time = first.split("/")[-2]
    second = site.send(body, handler="SI", project=project).text.strip()
    assert first != second
    assert site_time
    assert site.status(first.removeprefix("/data")) == "READY"  # built in the request


def test_B1_2_session_importer_refuses_nothing_parsable(site: Site) -> None:
    answer = site.send(zipped({"a.txt": NOT_DICOM}), handler="SI", project=site.project())
    assert answer.status_code == 400


def test_B1_3_dest_fills_labels_and_short_names_beat_it(site: Site) -> None:
    project = site.project()
    dest = f"/archive/projects/{project}/subjects/SUBJ/experiments/SESS"
    answer = site.send(study_zip(new_uid()), dest=dest)
    assert answer.status_code == 200
    assert answer.text == f"/data{dest}\r\n"
    other = site.send(study_zip(new_uid()), dest=f"/data{dest}", session="OTHER", subject="SUBJ2")
    assert other.status_code in (200, 400)
    named = site.send(study_zip(new_uid()), dest="/prearchive/projects/" + project, session="SHORT")
    assert named.text.strip().endswith("/SHORT")


def test_B1_3_dest_names_the_prearchive_place(site: Site) -> None:
    project = site.project()
    dest = f"/prearchive/projects/{project}/20240611_101112345/FOLDER"
    answer = site.send(study_zip(new_uid(), session="LABEL"), dest=dest)
    assert answer.text.strip() == f"/data{dest}"
    row = site.rows(dest)[0]
    assert (row["folderName"], row["name"], row["status"]) == ("FOLDER", "LABEL", "READY")


def test_B1_3_unknown_project_goes_to_unassigned(site: Site) -> None:
    study = new_uid()
    answer = site.send(study_zip(study), project="noSuchProjectAnywhere")
    assert answer.status_code == 200
    uri = answer.text.strip()
    assert uri.startswith("/data/prearchive/projects/Unassigned/")
    row = uri.removeprefix("/data")
    assert site.rows(row)[0]["autoarchive"] == ""
    site.delete(row)


def test_B1_3_commit_builds_before_the_answer(site: Site) -> None:
    project = site.project()
    answer = site.send(study_zip(new_uid()), project=project, action="commit")
    assert site.status(answer.text.strip().removeprefix("/data")) == "READY"


def test_B1_3_commit_with_AA_archives(site: Site) -> None:
    project = site.project()
    answer = site.send(
        study_zip(new_uid(), subject="SU", session="SE"),
        project=project,
        action="commit",
        AA="true",
    )
    assert answer.text == f"/data/archive/projects/{project}/subjects/SU/experiments/SE\r\n"


def test_B1_3_destination_is_no_parameter(site: Site) -> None:
    project = site.project()
    answer = site.send(study_zip(new_uid()), project=project, destination="/archive")
    assert site.status(answer.text.strip().removeprefix("/data")) == "RECEIVING"


def test_B1_3_row_keeps_its_flags(site: Site) -> None:
    row = site.received(site.project())
    assert site.rows(row)[0]["SOURCE"] == ""
    answer = site.send(
        study_zip(new_uid()),
        project=site.project(),
        SOURCE="script",
        VISIT="v1",
        SUBTYPE="sub",
        prevent_anon="true",
        prevent_auto_commit="true",
    )
    cells = site.rows(answer.text.strip().removeprefix("/data"))[0]
    assert (cells["SOURCE"], cells["VISIT"], cells["PROTOCOL"]) == ("script", "v1", "sub")
    assert (cells["prevent_anon"], cells["prevent_auto_commit"]) == ("true", "true")
    assert cells["autoarchive"] == "Manual"


def test_B1_3_prearchive_code_excludes_overwrite(site: Site) -> None:
    query = {"project": site.project(), "prearchive_code": "1", "overwrite": "append"}
    assert site.send(study_zip(new_uid()), **query).status_code == 400


def test_B1_4_several_studies_several_lines(site: Site) -> None:
    first, second = study_files(new_uid(), session="A"), study_files(new_uid(), session="B")
    mixed = {f"a{name}": data for name, data in first.items()}
    mixed |= {f"b{name}": data for name, data in second.items()}
    answer = site.send(zipped(mixed), project=site.project())
    assert answer.headers["Content-Type"].startswith("text/uri-list")
    lines = answer.text.split("\r\n")
    assert [line.rpartition("/")[2] for line in lines] == ["A", "B", ""]


def test_B1_4_txt_with_one_uri_has_no_line_end(site: Site) -> None:
    answer = site.send(study_zip(new_uid()), project=site.project(), format="txt")
    assert not answer.text.endswith("\n")


def test_B1_4_everything_filtered_is_200_and_empty(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["seriesImportFilter"] = "^series"
    answer = own_site.send(study_zip(new_uid()), project=own_site.project())
    assert (answer.status_code, answer.text) == (200, "")


def test_B1_4_direct_archive_excludes_commit(site: Site) -> None:
    query = {"Direct__Archive": "true", "action": "commit", "project": site.project()}
    assert site.send(study_zip(new_uid()), **query).status_code == 400


def test_B1_5_unreadable_entry_leaves_the_earlier_files(site: Site) -> None:
    project, study = site.project(), new_uid()
    files = {"1.dcm": dicom(study, 1, 1), "2.txt": NOT_DICOM, "3.dcm": dicom(study, 1, 2)}
    answer = site.send(zipped(files), project=project)
    assert answer.status_code == 400
    assert "unable to read DICOM object 2.txt" in answer.text
    rows = [row for row in site.rows(f"/prearchive/projects/{project}") if row["tag"] == study]
    assert [row["status"] for row in rows] == ["RECEIVING"]
    url = rows[0]["url"]
    site.post(url, params={"action": "build"})
    assert [f["Name"] for f in site.rows(f"{url}/scans/1/resources/DICOM/files")] == ["1.dcm"]


def test_B1_5_ignore_unparsable(site: Site) -> None:
    study = new_uid()
    files = {"1.dcm": dicom(study), "2.txt": NOT_DICOM}
    query = {"project": site.project(), "Ignore__Unparsable": "true"}
    assert site.send(zipped(files), **query).status_code == 200
    assert site.send(zipped({"2.txt": NOT_DICOM}), **query).status_code == 400


def test_B1_5_base_names_and_nested_archives(site: Site) -> None:
    study = new_uid()
    inner = zipped({"deep/in.dcm": dicom(study, 2)})
    files = {"a/b/one.dcm": dicom(study, 1), "inner.zip": inner}
    answer = site.send(zipped(files), project=site.project())
    row = answer.text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert [scan["ID"] for scan in site.rows(f"{row}/scans")] == ["1", "2"]
    assert site.rows(f"{row}/scans/1/resources/DICOM/files")[0]["Name"] == "one.dcm"
    assert site.rows(f"{row}/scans/2/resources/DICOM/files")[0]["Name"] == "in.dcm"


def test_B1_5_failed_archive_is_400_and_the_row_says_why(site: Site) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study)
    answer = site.send(study_zip(new_uid()), dest=f"/archive/projects/{project}")
    assert answer.status_code == 400
    rows = [r for r in site.rows(f"/prearchive/projects/{project}") if r["project"] == project]
    assert [row["status"] for row in rows] == ["CONFLICT"]
    assert site.last_log(rows[0]["url"])


def test_B1_6_second_upload_appends_to_the_row(site: Site) -> None:
    project, study = site.project(), new_uid()
    row = site.built(project, study, scans={1: 1})
    assert site.received(project, study, scans={2: 1}) == row
    assert site.status(row) == "RECEIVING"
    site.post(row, params={"action": "build"})
    assert [scan["ID"] for scan in site.rows(f"{row}/scans")] == ["1", "2"]


def test_B1_6_other_label_is_another_row(site: Site) -> None:
    project, study = site.project(), new_uid()
    assert site.received(project, study) != site.received(project, study, session="OTHER")


def test_B1_6_routing_by_comments(site: Site) -> None:
    project = site.project()
    comment = f"project: {project}; Subject:SUB9,Session:SES9 AA:true"
    answer = site.send(zipped({"1.dcm": dicom(new_uid(), PatientComments=comment)}))
    row = answer.text.strip().removeprefix("/data")
    cells = site.rows(row)[0]
    assert (cells["project"], cells["subject"], cells["name"]) == (project, "SUB9", "SES9")
    assert cells["autoarchive"] == "AutoArchive"


@pytest.mark.parametrize("keyword", ["StudyDescription", "AccessionNumber"])
def test_B1_6_routing_by_headers(site: Site, keyword: str) -> None:
    project = site.project()
    data = dicom(new_uid(), subject="Doe^Jane", session="id 7", **{keyword: project})
    answer = site.send(zipped({"1.dcm": data}))
    cells = site.rows(answer.text.strip().removeprefix("/data"))[0]
    # PatientName gives the subject, PatientID the session: that is no mistake.
    assert (cells["project"], cells["subject"], cells["name"]) == (project, "Doe_Jane", "id_7")


def test_B1_6_no_patient_id(site: Site) -> None:
    answer = site.send(zipped({"1.dcm": dicom(new_uid(), session="")}), project=site.project())
    assert answer.text.strip().endswith("/dicom_upload")


def test_B1_6_same_name_of_another_object_gets_a_template_name(site: Site) -> None:
    study = new_uid()
    files = {"a/x.dcm": dicom(study, 1, 1), "b/x.dcm": dicom(study, 1, 2)}
    row = site.send(zipped(files), project=site.project()).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    names = sorted(f["Name"] for f in site.rows(f"{row}/scans/1/resources/DICOM/files"))
    assert len(names) == 2
    assert "x.dcm" in names
    assert any(name.startswith(f"{study}-1-2-") for name in names)


def test_B1_6_stored_bytes_are_those_sent(site: Site) -> None:
    data = dicom(new_uid())
    row = site.send(zipped({"x.dcm": data}), project=site.project()).text.strip()
    row = row.removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert site.get(f"{row}/scans/1/resources/DICOM/files/x.dcm").content == data


def test_B1_6_two_series_of_one_number_are_two_scans(site: Site) -> None:
    study = new_uid()
    files = {
        "1.dcm": dicom(study, 1, series_uid=f"{study}.77"),
        "2.dcm": dicom(study, 1, series_uid=f"{study}.78"),
    }
    row = site.send(zipped(files), project=site.project()).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert [scan["ID"] for scan in site.rows(f"{row}/scans")] == ["1", "1-MR1"]


@pytest.mark.parametrize(
    ("objects", "session", "scans"),
    [
        ([("MR", MR)], "xnat:mrSessionData", ["xnat:mrScanData"]),
        ([("CT", CT)], "xnat:ctSessionData", ["xnat:ctScanData"]),
        ([("PT", "")], "xnat:petSessionData", ["xnat:petScanData"]),
        ([("PT", ""), ("CT", "")], "xnat:petSessionData", ["xnat:petScanData", "xnat:ctScanData"]),
        (
            [("PT", ""), ("MR", "")],
            "xnat:petmrSessionData",
            ["xnat:petScanData", "xnat:mrScanData"],
        ),
        (
            [("MR", ""), ("RTSTRUCT", "")],
            "xnat:mrSessionData",
            ["xnat:mrScanData", "xnat:rtImageScanData"],
        ),
        (
            [("CT", CT), ("CT", CAPTURE)],
            "xnat:ctSessionData",
            ["xnat:ctScanData", "xnat:scScanData"],
        ),
        ([("OT", CAPTURE)], "xnat:otherDicomSessionData", ["xnat:scScanData"]),
        ([("XA", "")], "xnat:xaSessionData", ["xnat:xaScanData"]),
        ([("CR", "")], "xnat:crSessionData", ["xnat:crScanData"]),
        ([("ZZ", "1.2.3.4")], "xnat:otherDicomSessionData", ["xnat:otherDicomScanData"]),
    ],
)
def test_B1_6_types_on_build(
    site: Site, objects: list[tuple[str, str]], session: str, scans: list[str]
) -> None:
    study = new_uid()
    files = {}
    for number, (modality, kind) in enumerate(objects, 1):
        more = {"SOPClassUID": kind} if kind else {}
        files[f"{number}.dcm"] = dicom(study, number, modality=modality, **more)
    row = site.send(zipped(files), project=site.project()).text.strip().removeprefix("/data")
    assert site.post(row, params={"action": "build"}).status_code == 200
    assert [scan["xsiType"] for scan in site.rows(f"{row}/scans")] == scans
    experiment = site.archive(row).text.strip().removeprefix("/data")
    item = site.get(experiment, params={"format": "json"}).json()["items"][0]
    assert item["meta"]["xsi:type"] == session


def test_B1_6_capture_lies_in_secondary(site: Site) -> None:
    study = new_uid()
    files = {"1.dcm": dicom(study, 1), "2.dcm": dicom(study, 2, SOPClassUID=CAPTURE)}
    row = site.send(zipped(files), project=site.project()).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert site.rows(f"{row}/scans/1/resources")[0]["label"] == "DICOM"
    assert site.rows(f"{row}/scans/2/resources")[0]["label"] == "secondary"
