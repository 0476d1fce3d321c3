"""The control addresses: the knobs for tests in any language."""

from __future__ import annotations

import base64

import pytest
import requests

from xnat_luigi.standin import StandIn

from .site import Site


def control(server: StandIn, method: str, where: str, **given: object) -> requests.Response:
    return requests.request(method, f"{server.url}/standin{where}", json=given or None, timeout=10)


def test_summary_counts_requests_but_not_itself(own_site: Site, standin: StandIn) -> None:
    own_site.get("/auth")
    own_site.put("/projects/P1")
    told = control(standin, "GET", "/").json()
    assert told["requests"] == {"GET": 1, "PUT": 1}
    assert told["errors"] == 0


def test_request_log(own_site: Site, standin: StandIn) -> None:
    own_site.put("/projects/P1/resources/R/files/a?inbody=true", b"hello")
    own_site.get("/projects?format=json")
    log = control(standin, "GET", "/requests").json()
    assert [(r["method"], r["path"], r["query"]) for r in log] == [
        ("PUT", "/data/projects/P1/resources/R/files/a", "inbody=true"),
        ("GET", "/data/projects", "format=json"),
    ]
    assert log[0]["bytes_in"] == 5
    assert log[1]["bytes_out"] > 0
    assert log[0]["user"] == "admin"
    assert len(control(standin, "GET", "/requests?last=1").json()) == 1
    control(standin, "DELETE", "/requests")
    assert control(standin, "GET", "/requests").json() == []


def test_fault_rules(own_site: Site, standin: StandIn) -> None:
    rule = control(standin, "POST", "/faults", path="/data/projects", status=503, times=1).json()
    assert own_site.get("/projects").status_code == 503
    assert own_site.get("/projects").status_code == 200
    rules = control(standin, "GET", "/faults").json()
    assert [(r["id"], r["matched"], r["fired"]) for r in rules] == [(rule["id"], 2, 1)]
    assert control(standin, "DELETE", f"/faults/{rule['id']}").status_code == 200
    assert control(standin, "DELETE", f"/faults/{rule['id']}").status_code == 404
    control(standin, "POST", "/faults", status=500)
    control(standin, "DELETE", "/faults")
    assert control(standin, "GET", "/faults").json() == []


@pytest.mark.parametrize("given", [{"nonsense": 1}, {"path": "("}, {"nth": 1, "typo": True}])
def test_wrong_rules_are_refused(standin: StandIn, given: dict[str, object]) -> None:
    answer = control(standin, "POST", "/faults", **given)
    assert answer.status_code == 400
    assert answer.text
    assert control(standin, "GET", "/faults").json() == []


def test_no_rule_meets_the_control_addresses(standin: StandIn) -> None:
    control(standin, "POST", "/faults", status=500)
    assert control(standin, "GET", "/").status_code == 200


def test_preferences(own_site: Site, standin: StandIn) -> None:
    control(standin, "POST", "/preferences", checksums=False)
    assert standin.preferences["checksums"] is False
    assert control(standin, "GET", "/preferences").json()["checksums"] is False


def test_clock(own_site: Site, standin: StandIn) -> None:
    session = own_site.get("/JSESSION").text
    known = {"Cookie": f"JSESSIONID={session}"}
    nobody = own_site.as_user("")
    assert nobody.get("/auth", headers=known).status_code == 200
    control(standin, "POST", "/clock", advance=1000)
    assert nobody.get("/auth", headers=known).status_code == 401
    control(standin, "POST", "/clock", freeze=True)
    first = control(standin, "POST", "/clock").json()
    assert control(standin, "POST", "/clock").json() == first
    control(standin, "POST", "/clock", thaw=True)
    assert control(standin, "POST", "/clock", advance="x").status_code == 400


def test_sessions(own_site: Site, standin: StandIn) -> None:
    session = own_site.get("/JSESSION").text
    assert control(standin, "POST", "/sessions/expire").json()["ended"] >= 1
    answer = own_site.as_user("").get("/auth", headers={"Cookie": f"JSESSIONID={session}"})
    assert answer.status_code == 401


def test_users_and_filling(own_site: Site, standin: StandIn) -> None:
    content = base64.b64encode(b"hello").decode()
    made = control(
        standin, "POST", "/fill", project="P1", subject="S1", label="E1",
        scans={"1": {"type": "T1w", "resources": {"DICOM": {"a.dcm": content}}}},
    ).json()  # fmt: skip
    control(standin, "POST", "/users", login="bob", password="bob", roles={"P1": "collaborator"})
    bob = own_site.as_user("bob")
    files = f"/experiments/{made['ID']}/scans/1/resources/DICOM/files"
    assert bob.get(f"{files}/a.dcm").content == b"hello"
    assert control(standin, "POST", "/fill", project="P1").status_code == 400
    assert control(standin, "POST", "/users", login="x").status_code == 400


def test_unknown_knobs_are_refused(standin: StandIn) -> None:
    assert control(standin, "POST", "/jobs", nonsense=1).status_code == 400
    assert control(standin, "POST", "/jobs", hold=["_ARCHIVING"]).status_code == 200
    assert control(standin, "POST", "/jobs", release=[]).status_code == 200
    answer = requests.post(f"{standin.url}/standin/faults", data="{broken", timeout=10)
    assert answer.status_code == 400


def test_switched_off() -> None:
    with StandIn(control=False) as server:
        for path in ("/", "/faults", "/requests"):
            assert control(server, "GET", path).status_code == 404
