"""Wire contract A 7: addresses."""

from __future__ import annotations

import pytest

from xnat_luigi.standin import StandIn

from .site import Site
from .test_A06_resources import Place

MR = "xnat:mrSessionData"


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


def test_A7_path_variables_are_not_decoded(place: Place) -> None:
    assert place.site.put(f"{place.base}/resources/my%20res").status_code == 200
    assert place.labels(place.base) == ["my%20res"]


def test_A7_scan_names_are_decoded_below_resources_and_files(place: Place) -> None:
    scan = "xnat:mrScanData"
    place.site.put(f"{place.base}/scans/2?xsiType={scan}", params={f"{scan}/type": "T2 fast"})
    place.put(f"{place.base}/scans/2/resources/R/files/a")
    for tail in ("files", "resources"):
        assert len(place.site.rows(f"{place.base}/scans/T2%20fast/{tail}")) == 1


def test_A7_queries_are_decoded(place: Place) -> None:
    place.site.put(f"/projects/{place.project}/subjects/S1?group=a+b%2Bc")
    rows = place.site.rows(f"/projects/{place.project}/subjects", columns="group")
    assert rows[0]["group"] == "a b+c"


def test_A7_trailing_slash_of_lists(place: Place) -> None:
    plain = place.site.rows(f"/projects/{place.project}/subjects")
    assert place.site.rows(f"/projects/{place.project}/subjects/") == plain
    assert place.site.get("/projects/").status_code == 200


@pytest.mark.parametrize("path", ["/archive/Experiments", "/PROJECTS", "/projects/{p}"])
def test_A7_case(place: Place, path: str) -> None:
    path = path.replace("{p}", place.project.lower())
    assert place.site.get(f"{path}?format=json").status_code == 404


def test_A7_labels_need_a_project(place: Place) -> None:
    site = place.site
    subject = site.rows(f"/projects/{place.project}/subjects")[0]["ID"]
    for path, status in (
        ("/experiments/E1", 404),
        ("/subjects/S1", 404),
        (f"/experiments/{place.session}", 200),
        (f"/subjects/{subject}", 200),
        (f"/projects/{place.project}/experiments/E1", 200),
        (f"/projects/{place.project}/experiments/{place.session}", 200),
        (f"/projects/{place.project}/subjects/{subject}/experiments/E1", 200),
    ):
        assert site.get(f"{path}?format=json").status_code == status, path


def test_A7_global_ids_are_not_checked_against_the_path(place: Place) -> None:
    other = place.site.project()
    path = f"/projects/{other}/experiments/{place.session}?format=json"
    assert place.site.get(path).json()["items"][0]["data_fields"]["project"] == place.project
    place.site.put(f"/projects/{place.project}/subjects/S2")
    path = f"/projects/{place.project}/subjects/S2/experiments/E1?format=json"
    assert place.site.get(path).status_code == 200


def test_A7_aliases_of_projects(own_site: Site, standin: StandIn) -> None:
    standin.add_project("P1", **{"aliases/alias[alias=OTHER]/alias": "OTHER"})
    standin.add_subject("P1", "S1")
    assert [row["label"] for row in own_site.rows("/projects/OTHER/subjects")] == ["S1"]


def test_A7_scans_by_type_below_resources_only(place: Place) -> None:
    place.put(f"{place.scan}/resources/R/files/a")
    assert place.site.get(f"{place.base}/scans/T1?format=json").status_code == 404
    assert len(place.site.rows(f"{place.base}/scans/T1/resources")) == 1
    assert len(place.site.rows(f"{place.base}/scans/T1/files")) == 1


def test_A7_reconstructions_are_found_by_id_alone(place: Place) -> None:
    place.site.put(f"{place.base}/reconstructions/{place.project}X?type=x")
    second = place.site.put(
        f"/projects/{place.project}/subjects/S1/experiments/E2?xsiType={MR}"
    ).text
    path = f"/experiments/{second}/reconstructions/{place.project}X?format=json"
    assert place.site.get(path).status_code == 200
