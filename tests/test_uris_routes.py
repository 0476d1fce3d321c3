"""Every address that `uris` builds is one the stand-in knows: both were written from the contract,
by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xnat_luigi import uris
from xnat_luigi.standin import StandIn
from xnat_luigi.uris import Address

ROW = "/data/prearchive/projects/P/20240101_000000000/F"
EXPERIMENT = "/data/experiments/E"

ADDRESSES = {
    "GET": [
        *[uris.JSESSION, uris.AUTH, uris.BUILD_INFO, uris.SCHEMAS, uris.PROJECTS],
        *[uris.SUBJECTS, uris.EXPERIMENTS, uris.USERS, uris.PREARCHIVE, uris.DICOM_DUMP],
        *[uris.SEARCH_ELEMENTS],
        uris.project("P"),
        uris.subjects("P"),
        uris.subject("S", "P"),
        uris.subject("S"),
        uris.experiments("P"),
        uris.experiments("P", "S"),
        uris.experiment("E"),
        uris.experiment("E", "P"),
        uris.experiment("E", "P", "S"),
        uris.scans("E"),
        uris.scans("E", "P", "S"),
        uris.scan("E", "1"),
        uris.scan_files("E"),
        uris.scan_files("E", "1,2", "DICOM"),
        uris.assessors("E"),
        uris.assessor("E", "A"),
        uris.reconstructions("E"),
        uris.reconstruction("E", "R"),
        uris.session_resources("E"),
        uris.session_resources(["E", "F"]),
        uris.session_files("E"),
        uris.session_folder("E"),
        uris.session_folder("E", "SCANS/1"),
        uris.shares(EXPERIMENT),
        uris.status(EXPERIMENT),
        uris.scan_types(),
        uris.scan_types("P"),
        uris.scanners(),
        uris.scanners("P"),
        uris.prearchive("P"),
        uris.prearchive_session("P", "20240101_000000000", "F"),
        uris.prearchive_scans(ROW),
        uris.prearchive_scans(ROW, "1"),
        uris.prearchive_resources(ROW),
        uris.prearchive_resources(ROW, "1"),
        uris.prearchive_files(ROW, "DICOM", "1"),
        uris.prearchive_files(ROW, "DICOM", "1", "a.dcm"),
        uris.prearchive_logs(ROW),
        uris.prearchive_logs(ROW, "last"),
        uris.token(),
        uris.token("ann"),
        uris.user_sessions("ann"),
        uris.schema("xnat"),
        uris.schema("xdat/display"),
        uris.legacy_schema("xnat"),
        uris.search_elements("xnat:mrSessionData"),
        uris.tracking("K"),
    ],
    "PUT": [
        uris.LOGIN,
        uris.project("P"),
        uris.subject("S", "P"),
        uris.experiment("E", "P", "S"),
        uris.share(EXPERIMENT, "P2"),
    ],
    "POST": [
        *[uris.IMPORT, uris.ARCHIVE, uris.VALIDATE_ARCHIVE, uris.REFRESH_CATALOG, uris.SEARCH],
        *[uris.PREARCHIVE_REBUILD, uris.PREARCHIVE_MOVE, uris.PREARCHIVE_DELETE],
    ],
    "DELETE": [uris.JSESSION, uris.share(EXPERIMENT, "P2"), ROW],
}
PLACES = [
    Address(project="P"),
    Address(project="P", subject="S"),
    Address(project="P", subject="S", experiment="E"),
    Address(project="P", subject="S", experiment="E", scan="1"),
    Address(project="P", experiment="E"),
    Address(experiment="E"),
    Address(experiment="E", scan="1"),
    Address(experiment="E", assessor="A"),
    Address(experiment="E", assessor="A", direction="in"),
    Address(experiment="E", reconstruction="R", direction="out"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.mark.parametrize(
    ("method", "address"), [(m, one) for m, all_ in ADDRESSES.items() for one in all_]
)
def test_A0_1_the_address_has_a_route(server: StandIn, method: str, address: str) -> None:
    match = server._app.router.match(address)
    assert match is not None, address
    assert match.route(method) is not None, f"{method} {address}"


@pytest.mark.parametrize("place", PLACES, ids=lambda one: one.path())
def test_A6_resources_of_all_places_have_routes(server: StandIn, place: Address) -> None:
    inside = {
        "GET": [place.resources(), place.resource("R"), place.files("R"), place.file("R", "a/b c")],
        "PUT": [place.resource("R"), place.file("R", "a.txt")],
        "DELETE": [place.resource("R"), place.file("R", "a.txt")],
    }
    for method, addresses in inside.items():
        for address in addresses:
            match = server._app.router.match(address)
            assert match is not None, address
            assert match.route(method) is not None, f"{method} {address}"
