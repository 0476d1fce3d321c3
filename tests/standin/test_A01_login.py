"""Wire contract A 1: credentials, sessions, and what goes wrong around them."""

from __future__ import annotations

import re
import uuid

import pytest
import requests

from .site import Site

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
SESSION = re.compile(r"[0-9A-F]{32}")


def nobody(site: Site) -> Site:
    return site.as_user("")


def test_A1_1_basic_on_any_request(site: Site) -> None:
    assert site.get("/auth").text == f"User '{site.http.auth[0]}' is logged in"  # type: ignore[index]


def test_A1_1_provider_before_the_name(own_site: Site) -> None:
    assert own_site.as_user("localdb/admin", "admin").get("/auth").text == (
        "User 'admin' is logged in"
    )


def test_A1_1_wrong_pair_is_401_even_on_open_addresses(site: Site) -> None:
    wrong = site.as_user(f"nobody-{uuid.uuid4().hex}", "wrong")
    for path in ("/data/JSESSION", "/xapi/siteConfig/buildInfo"):
        answer = wrong.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("header", ["Basic !!!", "Basic YWJj"])
def test_A1_3_broken_basic_is_401(site: Site, header: str) -> None:
    assert nobody(site).get("/projects", headers={"Authorization": header}).status_code == 401


def test_A1_3_a_colon_in_the_password_works(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("carol", "a:b")
    assert own_site.as_user("carol", "a:b").get("/auth").status_code == 200


def test_A1_1_cookie_instead_of_basic(site: Site) -> None:
    session = site.get("/JSESSION").text
    other = nobody(site)
    answer = other.get("/auth", headers={"Cookie": f"JSESSIONID={session}"})
    assert answer.text == site.get("/auth").text


def test_A1_1_cookie_attributes(site: Site) -> None:
    cookies = site.as_user(*site.http.auth).get("/auth").headers["Set-Cookie"]  # type: ignore[misc]
    assert re.search(r"JSESSIONID=[0-9A-F]{32}; Path=/; HttpOnly", cookies)


def test_A1_1_basic_without_cookie_opens_a_session_each_time(own_site: Site) -> None:
    assert own_site.standin is not None
    before = own_site.standin.state.users.count_sessions("admin")
    for _ in range(3):
        requests.get(own_site.url + "/data/auth", auth=("admin", "admin"), timeout=10)
    assert own_site.standin.state.users.count_sessions("admin") == before + 3


def test_A1_1_too_many_sessions_look_like_a_wrong_password(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("carol", "carol")
    own_site.standin.preferences["concurrentMaxSessions"] = 2
    answers = [own_site.as_user("carol").get("/auth") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 401]
    wrong = own_site.as_user("carol", "wrong").get("/auth")
    assert wrong.text == answers[2].text
    assert "too many sessions" in wrong.text


def test_A1_1_lock_out_after_failures(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["maxFailedLogins"] = 3
    own_site.standin.add_user("carol", "carol")
    for _ in range(3):
        assert own_site.as_user("carol", "wrong").get("/auth").status_code == 401
    assert own_site.as_user("carol").get("/auth").status_code == 401


def test_A1_1_sliding_expiry(own_site: Site) -> None:
    assert own_site.standin is not None
    clock = own_site.standin.clock
    session = own_site.get("/JSESSION").text
    known = {"Cookie": f"JSESSIONID={session}"}
    for _ in range(3):
        clock.advance(800)
        assert nobody(own_site).get("/auth", headers=known).status_code == 200
    clock.advance(901)
    assert nobody(own_site).get("/auth", headers=known).status_code == 401


@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_A1_2_session_id(site: Site, verb: str) -> None:
    answer = site.call(verb, "/JSESSION")
    assert SESSION.fullmatch(answer.text)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Content-Length"] == "32"


def test_A1_2_csrf_token_on_request(site: Site) -> None:
    text = site.get("/JSESSION?CSRF=true").text
    session, _, token = text.partition("; XNAT_CSRF=")
    assert SESSION.fullmatch(session)
    assert uuid.UUID(token)


def test_A1_2_guests_get_a_session_too(site: Site) -> None:
    other = nobody(site)
    answer = other.get("/JSESSION")
    assert answer.status_code == 200
    assert SESSION.fullmatch(answer.text)
    assert other.get("/auth").status_code == 401


def test_A1_2_guest_is_named_on_an_open_site(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["requireLogin"] = False
    assert nobody(own_site).get("/auth").text == "User 'guest' is logged in"


def test_A1_2_delete_ends_the_session(site: Site) -> None:
    session = site.get("/JSESSION").text
    known = {"Cookie": f"JSESSIONID={session}"}
    answer = nobody(site).delete("/JSESSION", headers=known)
    assert (answer.status_code, answer.content) == (200, b"")
    assert nobody(site).get("/auth", headers=known).status_code == 401


@pytest.mark.parametrize("verb", ["PUT", "POST"])
@pytest.mark.parametrize("names", [("username", "password"), ("j_username", "j_password")])
def test_A1_2_services_auth(site: Site, verb: str, names: tuple[str, str]) -> None:
    pair = dict(zip(names, site.http.auth, strict=True))  # type: ignore[arg-type]
    other = nobody(site)
    answer = other.call(verb, "/services/auth", data=pair)
    assert SESSION.fullmatch(answer.text)
    assert other.get("/auth").status_code == 200


def test_A1_2_services_auth_refusals(site: Site) -> None:
    other = nobody(site)
    wrong = other.post("/services/auth", {"username": "nobody", "password": "wrong"})
    assert wrong.status_code == 401
    assert "Authentication failed." in wrong.text
    assert other.get("/services/auth").status_code == 404
    assert other.post("/services/auth").status_code == 404


def test_A1_2_services_auth_names_its_provider(own_site: Site) -> None:
    pair = {"username": "admin", "password": "admin"}
    other = nobody(own_site)
    assert other.post("/services/auth", {**pair, "provider": "localdb"}).status_code == 200
    assert other.post("/services/auth", {**pair, "authenticatorId": "nowhere"}).status_code == 400


def test_A1_2_auth_without_login_is_401(site: Site) -> None:
    answer = nobody(site).get("/auth")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="XNAT Protected Area"'


def test_A1_2_who_am_i(site: Site) -> None:
    assert site.get("/xapi/users/username").text == site.http.auth[0]  # type: ignore[index]
    assert nobody(site).get("/xapi/users/username").status_code == 401


def test_A1_2_sessions_are_counted_and_ended(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("carol", "carol")
    carol = own_site.as_user("carol")
    assert carol.get("/user/carol/sessions").json() == {"carol": 1}
    assert carol.get("/user/admin/sessions").status_code == 403
    assert own_site.delete("/user/carol/sessions").status_code == 200
    carol.http.auth = None
    assert carol.get("/auth").status_code == 401


def test_A1_2_expiry_cookie_is_quoted(site: Site) -> None:
    cookies = site.get("/auth").headers["Set-Cookie"]
    found = re.search(r'SESSION_EXPIRATION_TIME="(\d+),(\d+)"; Version=1; Path=/', cookies)
    assert found
    assert int(found[1]) > 1_600_000_000_000
    assert int(found[2]) >= 60_000


@pytest.mark.parametrize("path", ["/data/projects", "/REST/projects", "/xapi/schemas"])
def test_A1_3_no_session_by_user_agent(site: Site, path: str) -> None:
    other = nobody(site)
    assert other.get(path).status_code == 401
    page = other.get(path, headers=BROWSER)
    assert page.status_code == 302
    assert page.headers["Location"].endswith("/app/template/Login.vm")
    login = other.http.get(page.headers["Location"])
    assert "<!-- BEGIN xnat-templates/screens/Login.vm -->" in login.text


def test_A1_3_expired_password_is_a_redirect(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("carol", "carol")
    own_site.standin.state.users.set("carol", expired=True)
    answer = own_site.as_user("carol").get("/projects")
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith("/app/template/XDATScreen_UpdateUser.vm")


def test_A1_3_disabled_account(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("carol", "carol")
    carol = own_site.as_user("carol")
    carol.get("/auth")
    own_site.standin.state.users.set("carol", enabled=False)
    carol.http.auth = None
    answer = carol.get("/projects")
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith("/app/template/InactiveAccount.vm")
    assert own_site.as_user("carol").get("/projects").status_code == 401


def test_A1_3_guests_see_public_projects_only(own_site: Site) -> None:
    server = own_site.standin
    assert server is not None
    server.preferences["requireLogin"] = False
    server.add_project("OPEN", accessibility="public")
    server.add_project("HIDDEN")
    guest = nobody(own_site)
    assert [row["ID"] for row in guest.rows("/projects")] == ["OPEN"]
    assert guest.get("/projects/HIDDEN?format=json").status_code == 404


def test_A1_3_csrf_is_for_browsers(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["enableCsrfToken"] = True
    project = own_site.project()
    own_site.http.headers.update(BROWSER)
    assert own_site.put(f"/projects/{project}/subjects/S1").status_code == 500
    token = own_site.get("/JSESSION?CSRF=true").text.partition("XNAT_CSRF=")[2]
    answer = own_site.put(f"/projects/{project}/subjects/S1?XNAT_CSRF={token}")
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["buildInfo", "siteId", "siteUrl"])
def test_A1_3_open_without_login(site: Site, path: str) -> None:
    assert nobody(site).get(f"/xapi/siteConfig/{path}").status_code == 200


def test_A1_3_build_info_is_an_object_of_strings(site: Site) -> None:
    build = site.get("/xapi/siteConfig/buildInfo").json()
    assert {"version", "buildNumber", "buildDate", "commit"} <= set(build)
    assert all(isinstance(value, str) for value in build.values())
    assert site.get("/xapi/siteConfig/buildInfo/version").text == build["version"]


def test_A1_3_uptime_needs_a_login(site: Site) -> None:
    assert nobody(site).get("/xapi/siteConfig/uptime").status_code == 401
    assert site.get("/xapi/siteConfig/uptime").status_code == 200


def test_A1_3_secure_channel_redirects_to_https(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["securityChannel"] = "https"
    answer = own_site.get("/projects?format=json")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("https://")
    assert answer.headers["Location"].endswith("/data/projects?format=json")
