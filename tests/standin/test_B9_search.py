"""Searches (wire contract B 9)."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import pytest

from .site import Site

HEAD = '<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="@x" brief-description="">'


def criterion(field: str, comparison: str, value: str) -> str:
    return (
        '<xdat:criteria override_value_formatting="0">'
        f"<xdat:schema_field>{field}</xdat:schema_field>"
        f"<xdat:comparison_type>{escape(comparison)}</xdat:comparison_type>"
        f"<xdat:value>{escape(value)}</xdat:value></xdat:criteria>"
    )


def either(*parts: str) -> str:
    return f'<xdat:child_set method="OR">{"".join(parts)}</xdat:child_set>'


def bundle(root: str, *conditions: str, columns: tuple[str, ...] = ()) -> bytes:
    fields = "".join(
        f"<xdat:search_field><xdat:element_name>{column.partition('/')[0]}</xdat:element_name>"
        f"<xdat:field_ID>{column.partition('/')[2]}</xdat:field_ID>"
        f"<xdat:sequence>{number}</xdat:sequence><xdat:type>string</xdat:type>"
        f"<xdat:header>{column}</xdat:header></xdat:search_field>"
        for number, column in enumerate(columns)
    )
    return (
        f"{HEAD}<xdat:root_element_name>{root}</xdat:root_element_name>{fields}"
        f'<xdat:search_where method="AND">{"".join(conditions)}</xdat:search_where></xdat:bundle>'
    ).encode()


def search(site: Site, body: bytes, **query: str) -> Any:
    answer = site.post(
        "/search", body, params={"format": "json", **query}, headers={"Content-Type": "text/xml"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["ResultSet"]


@pytest.fixture
def project(site: Site) -> str:
    """A project with three MR sessions, aged 20, 40 and unknown, and one CT session."""
    name = site.project()
    for label, kind, fields in (
        ("MR20", "mr", {"age": "20", "date": "2024-01-05"}),
        ("MR40", "mr", {"age": "40", "date": "2024-03-05"}),
        ("MRXX", "mr", {}),
        ("CT20", "ct", {"age": "20"}),
    ):
        subject = f"{name}_{label}"
        gender = "male" if label == "MR20" else "female"
        assert site.put(
            f"/projects/{name}/subjects/{subject}", params={"gender": gender}
        ).status_code in (200, 201)
        xsi_type = f"xnat:{kind}SessionData"
        query = {"xsiType": xsi_type} | {f"{xsi_type}/{k}": v for k, v in fields.items()}
        made = site.put(f"/projects/{name}/subjects/{subject}/experiments/{label}", params=query)
        assert made.status_code in (200, 201), made.text
    return name


def labels(site: Site, project: str, *conditions: str) -> list[str]:
    body = bundle(
        "xnat:mrSessionData",
        criterion("xnat:mrSessionData/PROJECT", "=", project),
        *conditions,
        columns=("xnat:mrSessionData/LABEL",),
    )
    return sorted(row["label"] for row in search(site, body)["Result"])


def test_B9_columns_stand_before_the_rows(site: Site, project: str) -> None:
    body = bundle(
        "xnat:mrSessionData",
        criterion("xnat:mrSessionData/PROJECT", "=", project),
        columns=("xnat:mrSessionData/LABEL",),
    )
    found = search(site, body)
    assert found["totalRecords"] == "3"
    about = {column["key"]: column for column in found["Columns"]}
    assert about["label"]["element_name"] == "xnat:mrSessionData"
    assert about["label"]["id"] == "LABEL"
    assert about["label"]["header"] == "xnat:mrSessionData/LABEL"


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        ("=", "20", ["MR20"]),
        ("!=", "20", ["MR40", "MRXX"]),  # also what has no value
        ("<", "40", ["MR20"]),
        ("<=", "40", ["MR20", "MR40"]),
        (">", "9", ["MR20", "MR40"]),
        (">=", "40", ["MR40"]),
        ("IN", "20,40", ["MR20", "MR40"]),
        ("BETWEEN", "15 AND 30", ["MR20"]),
        ("=", "", ["MRXX"]),
        ("=", "*", ["MR20", "MR40"]),
    ],
)
def test_B9_comparisons(
    site: Site, project: str, comparison: str, value: str, expected: list[str]
) -> None:
    assert labels(site, project, criterion("xnat:mrSessionData/age", comparison, value)) == expected


def test_B9_like_knows_no_case_and_takes_percent(site: Site, project: str) -> None:
    field = "xnat:mrSessionData/label"
    assert labels(site, project, criterion(field, "LIKE", "mr%0")) == ["MR20", "MR40"]
    assert labels(site, project, criterion(field, " LIKE ", "%xx")) == ["MRXX"]
    assert labels(site, project, criterion(field, "LIKE", "mr")) == []


def test_B9_conditions_nest(site: Site, project: str) -> None:
    age = "xnat:mrSessionData/age"
    both = either(criterion(age, "=", "20"), criterion(age, "=", "40"))
    assert labels(site, project, both) == ["MR20", "MR40"]
    assert labels(site, project, both, criterion(age, ">", "30")) == ["MR40"]


def test_B9_dates_compare_in_both_spellings(site: Site, project: str) -> None:
    field = "xnat:mrSessionData/date"
    assert labels(site, project, criterion(field, ">", "02/01/2024")) == ["MR40"]
    assert labels(site, project, criterion(field, "<", "2024-02-01")) == ["MR20"]


def test_B9_a_condition_may_be_on_what_is_above(site: Site, project: str) -> None:
    gender = criterion("xnat:subjectData/GENDER", "=", "male")
    assert labels(site, project, gender) == ["MR20"]


def test_B9_an_abstract_root_finds_all_kinds(site: Site, project: str) -> None:
    body = bundle("xnat:imageSessionData", criterion("xnat:imageSessionData/project", "=", project))
    assert len(search(site, body)["Result"]) == 4


def test_B9_pages_of_a_result_that_is_kept(site: Site, project: str) -> None:
    body = bundle(
        "xnat:mrSessionData",
        criterion("xnat:mrSessionData/PROJECT", "=", project),
        columns=("xnat:mrSessionData/LABEL",),
    )
    name = search(site, body, cache="true")["ID"]
    pages = [
        site.rows(f"/search/{name}", offset=str(offset), limit="2", format="json")
        for offset in (0, 2)
    ]
    assert [len(page) for page in pages] == [2, 1]
    assert sorted(r["label"] for page in pages for r in page) == ["MR20", "MR40", "MRXX"]


@pytest.mark.parametrize("body", [b"<not", b"<other/>"])
def test_B9_what_is_no_search_is_refused(site: Site, body: bytes) -> None:
    answer = site.post("/search", body, headers={"Content-Type": "text/xml"})
    assert answer.status_code == 422


def test_B9_others_projects_are_not_found(own_site: Site) -> None:
    name = own_site.project()
    own_site.put(f"/projects/{name}/subjects/S1")
    body = bundle("xnat:subjectData", criterion("xnat:subjectData/PROJECT", "=", name))
    reader = own_site.as_user("reader", "reader")
    assert len(search(own_site, body)["Result"]) == 1
    assert search(reader, body)["Result"] == []


def test_B9_elements_and_their_fields(site: Site, project: str) -> None:
    elements = {row["ELEMENT_NAME"]: row for row in site.rows("/search/elements", format="json")}
    assert {"xnat:projectData", "xnat:subjectData", "xnat:mrSessionData"} <= set(elements)
    assert int(elements["xnat:mrSessionData"]["COUNT"]) >= 3
    fields = site.rows("/search/elements/xnat:mrSessionData", format="json")
    assert {"LABEL", "PROJECT", "SUBJECT_ID"} <= {row["FIELD_ID"] for row in fields}
    assert site.get("/search/elements/no:suchData", params={"format": "json"}).status_code == 400


def test_B9_saved_searches(own_site: Site) -> None:
    name = own_site.project()
    own_site.put(f"/projects/{name}/subjects/S1")
    body = bundle(
        "xnat:subjectData",
        criterion("xnat:subjectData/PROJECT", "=", name),
        columns=("xnat:subjectData/SUBJECT_LABEL",),
    )
    assert own_site.put("/search/saved/mine", body).status_code == 200
    assert own_site.get("/search/saved/mine").content == body
    assert [row["id"] for row in own_site.rows("/search/saved", format="json")] == ["mine"]
    found = own_site.get("/search/saved/mine/results", params={"format": "csv"}).text
    assert "S1" in found
    assert own_site.delete("/search/saved/mine").status_code == 200
    assert own_site.get("/search/saved/mine").status_code == 404
    every = own_site.rows("/search/saved/@xnat:subjectData/results", format="json")
    assert [row["subject_label"] for row in every] == ["S1"]
