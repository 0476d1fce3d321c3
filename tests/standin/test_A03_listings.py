"""Wire contract A 3.1 to A 3.5: envelope, columns, filters, paging, rights."""

from __future__ import annotations

import csv
import datetime
import io

import pytest

from xnat_luigi.standin import StandIn

from .site import Site


class Case:
    """A project with two subjects, three sessions of three types, an assessor and scans."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.project = site.project()
        base = f"/projects/{self.project}/subjects"
        self.subject = site.put(f"{base}/S1?gender=female&yob=1980").text
        self.other = site.put(f"{base}/S2?gender=male&group=g1").text
        self.mr = self._session("S1", "S1_MR1", "xnat:mrSessionData", "date=2024-02-01&scanner=A")
        self.ct = self._session("S1", "S1_CT1", "xnat:ctSessionData", "date=2024-03-01")
        self.pet = self._session("S2", "S2_PET1", "xnat:petSessionData", "date=2024-04-01")
        for number, kind, more in (
            ("1", "T1", "&xnat:mrScanData/quality=usable&xnat:mrScanData/frames=176"),
            ("2-b", "T2", "&xnat:mrScanData/series_description=a long one"),
        ):
            site.put(
                f"/experiments/{self.mr}/scans/{number}?xsiType=xnat:mrScanData"
                f"&xnat:mrScanData/type={kind}{more}"
            )
        self.qc = site.put(
            f"/experiments/{self.mr}/assessors/QC1?xsiType=xnat:qcManualAssessorData"
        ).text

    def _session(self, subject: str, label: str, kind: str, more: str) -> str:
        return self.site.put(
            f"/projects/{self.project}/subjects/{subject}/experiments/{label}?xsiType={kind}&{more}"
        ).text

    def rows(self, tail: str, **query: str) -> list[dict[str, str]]:
        return self.site.rows(f"/projects/{self.project}/{tail}", **query)

    def labels(self, tail: str = "experiments", **query: str) -> set[str]:
        return {row["label"] for row in self.rows(tail, columns="ID,label", **query)}


@pytest.fixture
def case(site: Site) -> Case:
    return Case(site)


# 3.1 --------------------------------------------------------------------------------------------


def test_A3_1_envelope(case: Case) -> None:
    answer = case.site.get(f"/projects/{case.project}/experiments")
    assert '"totalRecords": "3"' in answer.text
    assert answer.text.startswith('{"ResultSet":{"Result":[{')
    rows = answer.json()["ResultSet"]["Result"]
    assert all(isinstance(value, str) for row in rows for value in row.values())


def test_A3_1_null_is_an_empty_string(case: Case) -> None:
    row = case.rows("subjects", columns="label,src")[0]
    assert row["src"] == ""


def test_A3_1_times(case: Case) -> None:
    row = case.rows("experiments")[0]
    assert datetime.date.fromisoformat(row["date"])
    assert datetime.datetime.strptime(row["insert_date"], "%Y-%m-%d %H:%M:%S.%f")


def test_A3_1_csv(case: Case) -> None:
    path = f"/projects/{case.project}/subjects"
    answer = case.site.get(path, params={"format": "csv", "columns": "label,gender"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["label"]: row["gender"] for row in rows} == {"S1": "female", "S2": "male"}
    assert '"' not in answer.text


def test_A3_1_xml_escapes_two_characters_only(own_site: Site) -> None:
    server = own_site.standin
    assert server is not None
    server.add_subject("P1", "S1", group="a<b&c")
    text = own_site.get("/projects/P1/subjects?format=xml&columns=group").text
    assert text.startswith("<ResultSet title=")
    assert "<cell>a&lt;b&c</cell>" in text


def test_A3_1_html(case: Case) -> None:
    page = case.site.get(f"/projects/{case.project}/subjects?format=html").text
    assert '<table class="x_rs_t"' in page


# 3.2 --------------------------------------------------------------------------------------------

COLUMNS = {
    "/projects": "ID secondary_ID name description pi_firstname pi_lastname URI",
    "/subjects": "ID project label insert_date insert_user URI",
    "/projects/{P}/subjects": "ID project label insert_date insert_user URI",
    "/experiments": "ID project date xsiType label insert_date URI",
    "/projects/{P}/experiments": "ID project date xsiType label insert_date "
    "xnat:subjectassessordata/id URI",
    "/projects/{P}/subjects/S1/experiments": "ID project date xsiType label insert_date "
    "xnat:subjectassessordata/id URI",
    "/experiments/{E}/assessors": "ID project label date xsiType insert_date session_ID "
    "session_label xnat:imageassessordata/id URI",
    "/experiments/{E}/scans": "xnat_imagescandata_id ID type quality xsiType note "
    "series_description URI",
}


@pytest.mark.parametrize("path", COLUMNS)
def test_A3_2_default_columns(case: Case, path: str) -> None:
    rows = case.site.rows(path.replace("{P}", case.project).replace("{E}", case.mr))
    assert set(rows[0]) == set(COLUMNS[path].split())


def test_A3_2_uris_go_by_id(case: Case) -> None:
    assert case.rows("subjects")[0]["URI"] == f"/data/subjects/{case.subject}"
    assert case.rows("experiments")[0]["URI"] == f"/data/experiments/{case.mr}"
    scans = case.site.rows(f"/experiments/{case.mr}/scans")
    assert scans[1]["URI"] == f"/data/experiments/{case.mr}/scans/2-b"
    assessors = case.site.rows(f"/experiments/{case.mr}/assessors")
    assert assessors[0]["URI"] == f"/data/experiments/{case.qc}"


def test_A3_2_subject_columns_by_root_type(case: Case) -> None:
    site = case.site
    rows = site.rows("/experiments", project=case.project, xsiType="xnat:mrSessionData")
    assert {"subject_ID", "subject_label"} <= set(rows[0])
    assert "session_ID" not in rows[0]
    rows = site.rows("/experiments", project=case.project, xsiType="xnat:qcManualAssessorData")
    assert (rows[0]["session_ID"], rows[0]["session_label"]) == (case.mr, "S1_MR1")


def test_A3_2_assessors_are_not_among_a_projects_experiments(case: Case) -> None:
    assert case.labels() == {"S1_MR1", "S1_CT1", "S2_PET1"}
    every = case.site.rows("/experiments", project=case.project)
    assert case.qc in {row["ID"] for row in every}


def test_A3_2_titles(case: Case) -> None:
    for path, title in (("/experiments", "Matching experiments"),
                        (f"/experiments/{case.mr}/resources", "Resources")):  # fmt: skip
        assert case.site.get(path).json()["ResultSet"]["title"] == title


def test_A3_2_projects_in_another_family_of_columns(case: Case) -> None:
    answer = case.site.get("/projects?accessible=true").json()["ResultSet"]
    assert answer["title"] == "Projects"
    row = next(row for row in answer["Result"] if row["id"] == case.project)
    assert {"id", "name", "description", "secondary_id", "insert_date", "insert_user"} <= set(row)
    assert "ID" not in row


def test_A3_2_scan_types(case: Case) -> None:
    rows = case.rows("scan_types")
    assert {row["type"] for row in rows} == {"T1", "T2"}


def test_A3_2_resource_rows_have_neither_uri_nor_id(case: Case) -> None:
    case.site.put(f"/experiments/{case.mr}/scans/1/resources/DICOM?format=DICOM&content=RAW")
    rows = case.site.rows(f"/experiments/{case.mr}/scans/1/resources")
    assert set(rows[0]) == {
        "xnat_abstractresource_id", "label", "element_name", "category", "cat_id", "cat_desc",
        "file_count", "file_size", "tags", "content", "format",
    }  # fmt: skip
    known = {"element_name": "xnat:resourceCatalog", "category": "scans", "cat_id": "1",
             "cat_desc": "T1", "format": "DICOM", "content": "RAW"}  # fmt: skip
    assert {name: rows[0][name] for name in known} == known


# 3.3 --------------------------------------------------------------------------------------------


def test_A3_3_shortcuts_and_always_there(case: Case) -> None:
    row = case.rows("experiments", columns="label")[0]
    assert set(row) == {"label", "ID", "xsiType", "project", "URI"}
    row = case.rows("experiments", columns="label", xsiType="xnat:mrSessionData")[0]
    assert set(row) == {"label", "ID", "URI"}


def test_A3_3_default_alone_and_in_a_list(case: Case) -> None:
    alone = case.rows("subjects", columns="DEFAULT")[0]
    assert set(alone) == set(COLUMNS["/subjects"].split())
    assert set(case.rows("subjects", columns="DEFAULT,label")[0]) == {"ID", "label", "URI"}


def test_A3_3_unknown_shortcut_is_ignored(case: Case) -> None:
    assert set(case.rows("subjects", columns="label,nonsense")[0]) == {"ID", "label", "URI"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/{P}/experiments", 200),
        ("/experiments/{E}/assessors", 200),
        ("/experiments", 500),
        ("/subjects", 500),
        ("/experiments/{E}/scans", 500),
    ],
)
def test_A3_3_unknown_xpath(case: Case, path: str, status: int) -> None:
    path = path.replace("{P}", case.project).replace("{E}", case.mr)
    kind = "imageScanData" if path.endswith("scans") else "mrSessionData"
    answer = case.site.get(path, params={"columns": f"ID,xnat:{kind}/nonsense/here"})
    assert answer.status_code == status
    if status == 200:
        assert answer.content == b""


def test_A3_3_scans_without_id_in_columns(case: Case) -> None:
    path = f"/experiments/{case.mr}/scans"
    assert case.site.get(path, params={"columns": "type"}).status_code == 500
    assert {row["type"] for row in case.site.rows(path, columns="ID,type")} == {"T1", "T2"}


def test_A3_3_shortcut_table(case: Case) -> None:
    rows = case.rows("subjects", fields="1")
    assert {"key", "xpath"} == set(rows[0])
    assert {"gender", "last_modified"} <= {row["key"] for row in rows}


def test_A3_3_keys_of_paths_are_lower_case(case: Case) -> None:
    site = case.site
    site.put(
        f"/experiments/{case.mr}",
        params={"xnat:mrSessionData/fields/field[name=cohort]/field": "A"},
    )
    rows = case.rows(
        "experiments",
        columns="ID,xnat:mrSessionData/fields/field/name,xnat:mrSessionData/fields/field/field",
        xsiType="xnat:mrSessionData",
    )
    assert rows[0]["xnat:mrsessiondata/fields/field/name"] == "cohort"
    assert rows[0]["xnat:mrsessiondata/fields/field/field"] == "A"


def test_A3_3_collections_multiply_rows(case: Case) -> None:
    rows = case.rows(
        "experiments",
        columns="ID,xnat:imagescandata/id,xnat:imagescandata/type",
        xsiType="xnat:imageSessionData",
    )
    found = [(row["ID"], row["xnat:imagescandata/id"], row["xnat:imagescandata/type"])
             for row in rows]  # fmt: skip
    assert sorted(found) == sorted(
        [(case.mr, "1", "T1"), (case.mr, "2-b", "T2"), (case.ct, "", ""), (case.pet, "", "")]
    )


def test_A3_3_xsi_type_takes_subtypes(case: Case) -> None:
    assert len(case.labels(xsiType="xnat:imageSessionData")) == 3
    assert case.labels(xsiType="xnat:ctSessionData") == {"S1_CT1"}


@pytest.mark.parametrize(
    ("column", "left"),
    [("subject_ID", 3), ("UID", 3), ("fieldStrength", 1), ("coil", 1), ("tracer_name", 1),
     ("subject_label", 4), ("last_modified", 4), ("insert_date", 4)],
)  # fmt: skip
def test_A3_3_columns_narrow_the_root(case: Case, column: str, left: int) -> None:
    rows = case.site.rows("/experiments", project=case.project, columns=f"ID,{column}")
    assert len(rows) == left


def test_A3_3_a_filter_narrows_too(case: Case) -> None:
    assert case.labels(scanner="A") == {"S1_MR1"}


# 3.4 --------------------------------------------------------------------------------------------

FILTERS = [
    ({"label": "S1_MR1"}, {"S1_MR1"}),
    ({"label": "s1_mr1"}, set()),
    ({"label": "S1_MR1,S1_CT1"}, {"S1_MR1", "S1_CT1"}),
    ({"label": "*mr*"}, {"S1_MR1"}),
    ({"label": "S1%"}, {"S1_MR1", "S1_CT1"}),
    ({"label": "1*"}, {"S1_MR1", "S1_CT1", "S2_PET1"}),
    ({"label": "S1*", "date": "03/01/2024"}, {"S1_CT1"}),
    ({"date": "02/01/2024-03/01/2024"}, {"S1_MR1", "S1_CT1"}),
    ({"xnat:mrSessionData/scanner": "A"}, {"S1_MR1"}),
    ({"subject_label": "S2"}, {"S2_PET1"}),
    ({"label": "nothing"}, set()),
]


@pytest.mark.parametrize(("query", "labels"), FILTERS)
def test_A3_4_filters(case: Case, query: dict[str, str], labels: set[str]) -> None:
    assert case.labels(**query) == labels


def test_A3_4_numbers(case: Case) -> None:
    assert case.labels("subjects", yob="1975-1985") == {"S1"}
    assert case.labels("subjects", yob="1981-1985") == set()


def test_A3_4_iso_dates_do_not_work(case: Case) -> None:
    assert case.labels(date="2024-02-01") == set()


def test_A3_4_filters_are_ignored_on_scans_and_assessors(case: Case) -> None:
    assert len(case.site.rows(f"/experiments/{case.mr}/scans", type="T1")) == 2
    assert len(case.site.rows(f"/experiments/{case.mr}/assessors", label="nothing")) == 1


def test_A3_4_sorting(case: Case) -> None:
    def order(**query: str) -> list[str]:
        return [row["label"] for row in case.rows("subjects", columns="label,group", **query)]

    assert order(sortBy="label") == ["S1", "S2"]
    assert order(sortBy="label", sortOrder="DESC") == ["S2", "S1"]
    assert order(sortBy="group") == ["S2", "S1"]  # nulls last


@pytest.mark.parametrize(
    ("query", "count", "total"),
    [({"limit": "2"}, 2, False), ({"limit": "2", "offset": "2"}, 1, False),
     ({"limit": "*"}, 3, True), ({"offset": "1"}, 2, False), ({}, 3, True)],
)  # fmt: skip
def test_A3_4_paging(case: Case, query: dict[str, str], count: int, total: bool) -> None:
    answer = case.site.get(f"/projects/{case.project}/experiments", params=query)
    result = answer.json()["ResultSet"]
    assert len(result["Result"]) == count
    assert ("totalRecords" in result) is total


def test_A3_4_offset_alone_stops_at_100(own_site: Site) -> None:
    server = own_site.standin
    assert server is not None
    for number in range(102):
        server.add_subject("P1", f"S{number}")
    assert len(own_site.rows("/projects/P1/subjects", offset="0")) == 100
    assert len(own_site.rows("/projects/P1/subjects", limit="*")) == 102


def test_A3_4_scans_have_no_pages(case: Case) -> None:
    assert len(case.site.rows(f"/experiments/{case.mr}/scans", limit="1")) == 2


# 3.5 --------------------------------------------------------------------------------------------


def test_A3_5_missing_and_hidden_look_alike(own_site: Site, standin: StandIn) -> None:
    standin.add_subject("HIDDEN", "S1")
    reader = own_site.as_user("reader")
    for project in ("HIDDEN", "MISSING"):
        for tail in ("subjects", "experiments", "resources", "files"):
            assert reader.get(f"/projects/{project}/{tail}").status_code == 404, tail
    assert reader.rows("/projects") == []
    assert reader.get("/subjects").status_code == 500


def test_A3_5_children_of_a_missing_session(case: Case) -> None:
    site = case.site
    assert site.get("/experiments/NOPE/scans").status_code == 500
    assert site.get("/experiments/S1_MR1/scans").status_code == 500
    assert site.get("/experiments/NOPE/assessors").status_code == 404


def test_A3_5_shared_items_carry_the_shares_label(case: Case) -> None:
    site, second = case.site, case.site.project()
    base = f"/projects/{case.project}/subjects"
    assert site.put(f"{base}/S1/projects/{second}?label=X1").status_code == 200
    assert site.put(f"/experiments/{case.mr}/projects/{second}?label=Y1").status_code == 200
    subject = site.rows(f"/projects/{second}/subjects")[0]
    assert (subject["label"], subject["project"]) == ("X1", case.project)
    columns = "ID,label,project,subject_label"
    shared = site.rows(f"/projects/{second}/experiments", columns=columns)[0]
    assert (shared["label"], shared["project"]) == ("Y1", second)
    assert shared["subject_label"] == "X1"
    assert shared["URI"] == f"/data/experiments/{case.mr}"


def test_A3_5_project_filter_means_the_primary_one(case: Case) -> None:
    site, second = case.site, case.site.project()
    site.put(f"/projects/{case.project}/subjects/S1/projects/{second}")
    site.put(f"/experiments/{case.mr}/projects/{second}")
    assert site.rows("/experiments", project=second) == []
    path = "xnat:imagesessiondata/sharing/share/project"
    rows = site.rows("/experiments", xsiType="xnat:imageSessionData", **{path: second})
    assert [row["ID"] for row in rows] == [case.mr]
