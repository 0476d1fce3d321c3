"""Wire contract A 5.1 to A 5.3 and A 5.5: creating and changing items."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from xnat_luigi.standin import StandIn

from .site import Site

MR, SCAN = "xnat:mrSessionData", "xnat:mrScanData"
XML = {"Content-Type": "text/xml"}
NAMESPACE = 'xmlns:xnat="http://nrg.wustl.edu/xnat"'


class Place:
    """A project with one subject and one session."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.project = site.project()
        self.top = f"/projects/{self.project}"
        self.subject = site.put(f"{self.top}/subjects/S1").text
        self.session = site.put(f"{self.base}?xsiType={MR}").text

    @property
    def base(self) -> str:
        return f"{self.top}/subjects/S1/experiments/E1"

    def fields(self, path: str) -> dict[str, Any]:
        answer = self.site.get(path, params={"format": "json"})
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()["items"][0]["data_fields"]
        return fields


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


# 5.1 --------------------------------------------------------------------------------------------


def test_A5_1_subject(place: Place) -> None:
    made = place.site.put(f"{place.top}/subjects/S2")
    assert made.status_code == 201
    assert re.fullmatch(r"\w+_S\d{5,}", made.text)
    again = place.site.put(f"{place.top}/subjects/S2")
    assert (again.status_code, again.text) == (200, made.text)


def test_A5_1_experiment(place: Place) -> None:
    made = place.site.put(f"{place.top}/subjects/S1/experiments/E2?xsiType={MR}")
    assert made.status_code == 201
    assert re.fullmatch(r"\w+_E\d{5,}", made.text)
    again = place.site.put(f"{place.top}/subjects/S1/experiments/E2?xsiType={MR}")
    assert (again.status_code, again.text) == (200, made.text)


def test_A5_1_assessor(place: Place) -> None:
    path = f"{place.base}/assessors/QC1?xsiType=xnat:qcManualAssessorData"
    made = place.site.put(path)
    assert (made.status_code, bool(made.text)) == (201, True)
    again = place.site.put(path)
    assert (again.status_code, again.text) == (200, made.text)


@pytest.mark.parametrize(
    "path",
    [f"{{E}}/scans/1?xsiType={SCAN}", "{E}/reconstructions/R1?type=x", "{P}"],
)
def test_A5_1_empty_200_either_way(place: Place, path: str) -> None:
    path = path.replace("{E}", place.base).replace("{P}", place.top)
    for _ in range(2):
        answer = place.site.put(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_A5_1_resource(place: Place) -> None:
    path = f"{place.base}/resources/R"
    made, again = place.site.put(path), place.site.put(path)
    assert (made.status_code, made.content) == (200, b"")
    assert again.status_code == 409
    assert "Specified resource already exists." in again.text


def test_A5_1_post_to_a_list(place: Place) -> None:
    made = place.site.post(f"{place.top}/subjects?label=S2")
    assert made.status_code == 200
    found = place.site.rows(f"{place.top}/subjects", label="S2")[0]["ID"]
    location = urlsplit(made.headers["Location"])
    assert location.path.endswith(f"/data{place.top}/subjects/{found}")
    assert place.site.post(f"{place.top}/subjects?label=S2").status_code == 409
    list_of_it = f"{place.top}/subjects/S2/experiments"
    made = place.site.post(f"{list_of_it}?label=E2&xsiType={MR}")
    assert made.status_code == 200
    assert place.site.post(f"{list_of_it}?label=E2&xsiType={MR}").status_code == 409


def test_A5_1_location_is_the_configured_site(own_site: Site, standin: StandIn) -> None:
    standin.preferences["siteUrl"] = "https://x.org"
    standin.add_project("P1")
    made = own_site.post("/projects/P1/subjects?label=S1")
    assert made.headers["Location"].startswith("https://x.org/data/projects/P1/subjects/XNAT_S")


def test_A5_1_resource_below_the_list(place: Place) -> None:
    made = place.site.post(f"{place.base}/resources?label=R")
    assert made.status_code == 200
    number = made.text.rpartition("/")[2]
    rows = place.site.rows(f"{place.base}/resources")
    assert [row["xnat_abstractresource_id"] for row in rows] == [number]


# 5.2 --------------------------------------------------------------------------------------------


def test_A5_2_type_comes_from_the_first_path(place: Place) -> None:
    path = f"{place.top}/subjects/S1/experiments/E2"
    place.site.put(path, params={"xnat:ctSessionData/date": "2024-02-01"})
    item = place.site.get(path, params={"format": "json"}).json()["items"][0]
    assert item["meta"]["xsi:type"] == "xnat:ctSessionData"
    assert item["data_fields"]["date"] == "2024-02-01"


def test_A5_2_shortcuts_and_paths(place: Place) -> None:
    place.site.put(f"{place.base}?xsiType={MR}&date=2024-02-01", params={f"{MR}/note": "hi"})
    fields = place.fields(place.base)
    assert (fields["date"], fields["note"]) == ("2024-02-01", "hi")


def test_A5_2_fields_present_overwrite_others_stay(place: Place) -> None:
    place.site.put(f"{place.base}?xsiType={MR}&date=2024-02-01&scanner=A")
    place.site.put(f"{place.base}?xsiType={MR}&scanner=B")
    fields = place.fields(place.base)
    assert (fields["date"], fields["scanner"]) == ("2024-02-01", "B")


def test_A5_2_xml_body(place: Place) -> None:
    path = f"{place.top}/subjects/S1/experiments/E2"
    text = f"<xnat:MRSession {NAMESPACE}><xnat:date>2024-02-01</xnat:date></xnat:MRSession>"
    made = place.site.put(path, text, headers=XML)
    assert made.status_code == 201
    assert place.fields(path)["date"] == "2024-02-01"


def test_A5_2_document_of_a_session_with_its_scans(place: Place) -> None:
    path = f"{place.top}/subjects/S1/experiments/E2"
    instance = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    scan = '<xnat:scan xsi:type="xnat:mrScanData" ID="{0}" type="T{0}"/>'

    def text(*numbers: int) -> str:
        scans = "".join(scan.format(number) for number in numbers)
        head = f"<xnat:MRSession {NAMESPACE} {instance}>"
        return f"{head}<xnat:scans>{scans}</xnat:scans></xnat:MRSession>"

    def found() -> dict[str, str]:
        return {row["ID"]: row["type"] for row in place.site.rows(f"{path}/scans")}

    assert place.site.put(path, text(1, 2), headers=XML).status_code == 201
    assert found() == {"1": "T1", "2": "T2"}
    assert place.site.put(path, text(3), headers=XML).status_code == 200
    assert found() == {"1": "T1", "2": "T2", "3": "T3"}
    place.site.put(f"{path}?allowDataDeletion=true", text(3), headers=XML)
    assert found() == {"3": "T3"}


def test_A5_2_xml_in_a_multipart_form(place: Place) -> None:
    text = f"<xnat:MRSession {NAMESPACE}><xnat:note>hi</xnat:note></xnat:MRSession>"
    place.site.put(place.base, files={"item": ("item.xml", text)})
    assert place.fields(place.base)["note"] == "hi"


def test_A5_2_form_body(place: Place) -> None:
    place.site.put(f"{place.base}?req_format=form", {f"{MR}/note": "hi"})
    assert place.fields(place.base)["note"] == "hi"


def test_A5_2_query_only(place: Place) -> None:
    place.site.put(f"{place.base}?req_format=qs&xsiType={MR}&note=hi", "<broken", headers=XML)
    assert place.fields(place.base)["note"] == "hi"


def test_A5_2_document_replaces_with_data_deletion(place: Place) -> None:
    site = place.site
    site.put(
        f"{place.base}?xsiType={MR}&date=2024-02-01&scanner=A",
        params={f"{MR}/fields/field[name=cohort]/field": "A"},
    )
    text = f"<xnat:MRSession {NAMESPACE}><xnat:date>2024-03-01</xnat:date></xnat:MRSession>"
    site.put(place.base, text, headers=XML)
    assert place.fields(place.base)["scanner"] == "A"
    site.put(f"{place.base}?allowDataDeletion=true", text, headers=XML)
    item = site.get(f"{place.base}?format=json").json()["items"][0]
    assert "scanner" not in item["data_fields"]
    assert item["data_fields"]["date"] == "2024-03-01"
    assert "fields/field" not in {child["field"] for child in item["children"]}


def test_A5_2_collections(place: Place) -> None:
    path, kind = f"{place.top}/subjects/S1", "xnat:subjectData"
    site = place.site

    def variables() -> dict[str, str]:
        item = site.get(path, params={"format": "json"}).json()["items"][0]
        found = [c["items"] for c in item["children"] if c["field"] == "fields/field"]
        return {f["data_fields"]["name"]: f["data_fields"]["field"] for one in found for f in one}

    site.put(path, params={f"{kind}/fields/field[name=cohort]/field": "A"})
    site.put(path, params={f"{kind}/fields/field[name=wave]/field": "1"})
    assert variables() == {"cohort": "A", "wave": "1"}
    site.put(path, params={f"{kind}/fields/field[name=cohort]/field": "B"})
    assert variables() == {"cohort": "B", "wave": "1"}
    site.put(path, params={f"{kind}/fields/field[name=cohort]/field": "NULL"})
    assert variables() == {"wave": "1"}


def test_A5_2_unknown_path_is_ignored(place: Place) -> None:
    unknown = {f"{MR}/nonsense": "x", f"{MR}/nonsense/list[name=x]/y": "1"}
    answer = place.site.put(place.base, params={**unknown, f"{MR}/note": "hi"})
    assert answer.status_code == 200
    fields = place.fields(place.base)
    assert "nonsense" not in place.site.get(f"{place.base}?format=json").text
    assert fields["note"] == "hi"


JUSTIFIED = {"requireChangeJustification": True, "showChangeJustification": True}


def test_A5_2_justification(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    path = f"/projects/P1/subjects/S1/experiments/{session}"
    standin.preferences.update(JUSTIFIED)
    assert own_site.put(f"{path}?xsiType={MR}&note=hi").status_code == 500
    assert own_site.put(f"{path}?xsiType={MR}&note=hi&event_reason=why").status_code == 200
    file = f"{path}/resources/R/files/a.txt?inbody=true"
    refused = own_site.put(file, b"hello")
    assert refused.status_code == 500
    assert "Justification required." in refused.text
    assert own_site.put(f"{file}&event_reason=why", b"hello").status_code == 200
    assert own_site.put("/projects/P1?description=x").status_code == 200
    refused = own_site.delete(path)
    assert refused.status_code == 403
    assert "Justification required." in refused.text
    assert own_site.delete(f"{path}?event_reason=why").status_code == 200


def test_A5_2_event_name(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    standin.preferences["requireEventName"] = True
    path = f"/projects/P1/subjects/S1/experiments/{session}"
    refused = own_site.delete(path)
    assert refused.status_code == 403
    assert "Event name required." in refused.text
    assert own_site.delete(f"{path}?event_action=Removed").status_code == 200


# 5.3 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.b", "a%20b", "%C3%A9"])
def test_A5_3_project_id(site: Site, name: str) -> None:
    answer = site.put(f"/projects/{name}")
    assert answer.status_code == 417
    assert "Invalid character in project ID." in answer.text


def test_A5_3_project_id_in_the_body_must_match(site: Site) -> None:
    text = f'<xnat:Project {NAMESPACE} ID="OTHER"/>'
    answer = site.put("/projects/XLsomething", text, headers=XML)
    assert answer.status_code == 417
    assert "The project ID for the REST call must match" in answer.text


@pytest.mark.parametrize("label", ["a.b", "a%20b"])
def test_A5_3_labels_are_500_without_text(place: Place, label: str) -> None:
    for path in (f"subjects/{label}", f"subjects/S1/experiments/{label}?xsiType={MR}"):
        assert place.site.put(f"{place.top}/{path}").status_code == 500
    assert len(place.site.rows(f"{place.top}/subjects")) == 1
    assert len(place.site.rows(f"{place.top}/experiments")) == 1


def test_A5_3_scan_id(place: Place) -> None:
    answer = place.site.put(f"{place.base}/scans/a.b?xsiType={SCAN}")
    assert answer.status_code in (400, 500)
    assert place.site.put(f"{place.base}/scans/4-MR1?xsiType={SCAN}").status_code == 200


def test_A5_3_same_label_is_the_same_item(place: Place) -> None:
    again = place.site.put(f"{place.base}?xsiType={MR}&note=hi")
    assert (again.status_code, again.text) == (200, place.session)


# 5.5 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["date=not-a-date", "date=2024-13-01"])
def test_A5_5_bad_values_are_400(place: Place, query: str) -> None:
    assert place.site.put(f"{place.base}?xsiType={MR}&{query}").status_code == 400
    assert "date" not in place.fields(place.base)


def test_A5_5_bad_number_is_400(place: Place) -> None:
    answer = place.site.put(f"{place.base}/scans/1", params={f"{SCAN}/frames": "many"})
    assert answer.status_code == 400
    assert place.site.rows(f"{place.base}/scans") == []


def test_A5_5_overlong_string_is_400(place: Place) -> None:
    answer = place.site.put(f"{place.base}?xsiType={MR}", params={f"{MR}/scanner": "x" * 256})
    assert answer.status_code == 400


def test_A5_5_plain_scan_type(place: Place) -> None:
    answer = place.site.put(f"{place.base}/scans/1?xsiType=xnat:imageScanData")
    assert answer.status_code == 400
    assert "Multiple scan modalities" in answer.text


def test_A5_5_session_document_at_a_scan(place: Place) -> None:
    assert place.site.put(f"{place.base}/scans/1?xsiType={MR}").status_code == 400


def test_A5_5_parents_that_are_not_there(place: Place) -> None:
    site = place.site
    assert site.put("/projects/NOPE/subjects/S1").status_code == 404
    assert site.put(f"/experiments/NOPE/scans/1?xsiType={SCAN}").status_code == 404
    missing = f"{place.top}/subjects/NEW/experiments"
    assert site.post(f"{missing}?label=E9&xsiType={MR}").status_code == 404
    # A PUT makes the subject on the way (A 5.4).
    assert site.put(f"{missing}/E9?xsiType={MR}").status_code == 201
    assert {r["label"] for r in site.rows(f"{place.top}/subjects")} == {"S1", "NEW"}


def test_A5_5_another_type_for_a_scan(place: Place) -> None:
    site = place.site
    site.put(f"{place.base}/scans/1?xsiType={SCAN}")
    other = site.put(f"{place.base}/scans/1?xsiType=xnat:ctScanData")
    assert other.status_code == 409
    assert "Specified xsiType differs from existing xsiType" in other.text
    silent = site.put(f"{place.base}/scans/1", params={"xnat:ctScanData/note": "hi"})
    assert silent.status_code == 200
    assert site.rows(f"{place.base}/scans")[0]["note"] == ""


def test_A5_5_nothing_to_put(place: Place) -> None:
    answer = place.site.put(f"{place.top}/subjects/S1/experiments/E2")
    assert answer.status_code == 417
    assert "Need PUT Contents" in answer.text
    answer = place.site.post(f"{place.top}/subjects/S1/experiments?label=E2")
    assert answer.status_code == 417
    assert "Need POST Contents" in answer.text


def test_A5_5_broken_and_foreign_documents(place: Place) -> None:
    put = place.site.put
    assert put(place.base, "<broken", headers=XML).status_code == 422
    text = f"<xnat:MRSession {NAMESPACE}/>"
    answer = put(f"{place.top}/subjects/S9", text, headers=XML)
    assert answer.status_code == 422
    assert "Only xnat:Subject documents can be PUT to this address." in answer.text
    answer = put(f"{place.top}/subjects/S1/experiments/E2?xsiType=xnat:subjectData")
    assert answer.status_code == 422
    assert "Only xnat:Subject documents can be PUT to this address." in answer.text


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('ID="OTHER"', "ID cannot be modified"),
        ('project="OTHER"', "Project must be modified through separate URI."),
        ('label="OTHER"', "Label must be modified through separate URI."),
    ],
)
def test_A5_4_documents_with_another_identity(place: Place, attributes: str, message: str) -> None:
    text = f"<xnat:MRSession {NAMESPACE} {attributes}/>"
    answer = place.site.put(place.base, text, headers=XML)
    assert answer.status_code == 400
    assert message in answer.text


def test_A5_5_rights(own_site: Site, standin: StandIn) -> None:
    standin.add_session("P1", "S1", "E1", scans={"1": "T1"})
    for login, role in (("member", "member"), ("collab", "collaborator")):
        standin.add_user(login, login, P1=role)
    base = "/projects/P1/subjects/S1/experiments/E1"
    for login, status in (("member", 200), ("collab", 403)):
        user = own_site.as_user(login)
        assert user.put(f"{base}?xsiType={MR}&note=x").status_code == status
        assert user.put(f"{base}/scans/1", params={f"{SCAN}/note": "x"}).status_code == status
        made = user.put(f"{base}/resources/R-{login}").status_code
        assert made == status
        new = user.put(f"/projects/P1/subjects/N-{login}").status_code
        assert new == (201 if status == 200 else 403)


def test_A5_5_projects_in_conflict(place: Place) -> None:
    site = place.site
    other = site.project()
    site.put(f"{place.top}?name=First-{place.project}")
    for name in ("ID", "name", "secondary_ID"):
        new = f"X{place.project}"
        value = place.project.lower() if name != "name" else f"first-{place.project}"
        if name == "ID":
            continue
        assert site.put(f"/projects/{new}", params={name: value}).status_code == 409
    assert site.get(f"/projects/X{place.project}?format=json").status_code == 404
    assert site.put(f"/projects/{other}?description=fine").status_code == 200


def test_A5_5_a_used_id_is_used_for_ever(site: Site) -> None:
    project = site.project()
    assert site.delete(f"/projects/{project}").status_code == 200
    answer = site.put(f"/projects/{project}")
    assert answer.status_code == 403
    assert "was used in a previously deleted project" in answer.text


def test_A5_5_who_may_make_projects(own_site: Site, standin: StandIn) -> None:
    reader = own_site.as_user("reader")
    assert reader.put("/projects/R1").status_code == 200
    standin.preferences["uiAllowNonAdminProjectCreation"] = False
    assert reader.put("/projects/R2").status_code == 403
    assert own_site.put("/projects/R2").status_code == 200


@pytest.mark.parametrize("level", ["public", "protected", "private"])
def test_A5_5_accessibility(place: Place, level: str) -> None:
    assert place.site.put(f"{place.top}/accessibility/{level}").status_code == 200
    assert place.site.get(f"{place.top}/accessibility").text == level
