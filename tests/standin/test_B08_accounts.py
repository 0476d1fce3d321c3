"""Tokens, users and the user's cache (wire contract B 8)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import requests

from .objects import tarred, zipped
from .site import Site

# --- tokens ---------------------------------------------------------------------------------------


def issue(site: Site, tail: str = "") -> dict[str, Any]:
    answer = site.get(f"/services/tokens/issue{tail}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def with_pair(site: Site, alias: str, secret: str) -> requests.Response:
    other = site.as_user(alias, secret)
    try:
        return other.get("/auth")
    finally:
        other.http.close()


def test_B8_token_logs_in(site: Site) -> None:
    token = issue(site)
    assert set(token) >= {"alias", "secret", "xdatUserId", "singleUse", "estimatedExpirationTime"}
    answer = with_pair(site, token["alias"], token["secret"])
    assert answer.status_code == 200
    assert token["xdatUserId"] in answer.text
    assert issue(site)["alias"] != token["alias"]


def test_B8_wrong_secret_and_invalidated_token(site: Site) -> None:
    token = issue(site)
    assert with_pair(site, token["alias"], "wrong").status_code == 401
    pair = f"{token['alias']}/{token['secret']}"
    assert site.get(f"/services/tokens/invalidate/{pair}").json() == {"result": "OK"}
    assert with_pair(site, token["alias"], token["secret"]).status_code == 401
    assert site.get(f"/services/tokens/validate/{pair}").status_code == 404


def test_B8_validate(site: Site) -> None:
    token = issue(site)
    path = f"/services/tokens/validate/{token['alias']}"
    assert site.get(f"{path}/{token['secret']}").json() == {"valid": token["xdatUserId"]}
    wrong = site.get(f"{path}/wrong")
    assert wrong.status_code == 200
    assert not wrong.json().get("valid")
    assert site.get(path).status_code == 401
    assert site.get(f"/services/tokens/validate/{uuid.uuid4()}/x").status_code == 404


def test_B8_other_users_tokens(own_site: Site) -> None:
    token = issue(own_site, "/user/reader")
    assert token["xdatUserId"] == "reader"
    assert "reader" in with_pair(own_site, token["alias"], token["secret"]).text
    reader = own_site.as_user("reader")
    assert reader.get("/services/tokens/issue/user/admin").status_code == 403
    mine = issue(own_site)
    path = f"/services/tokens/validate/{mine['alias']}/{mine['secret']}"
    assert reader.get(path).status_code == 403
    assert own_site.as_user("").get("/services/tokens/issue").status_code in (401, 403)


def test_B8_show_and_unknown_operations(own_site: Site) -> None:
    aliases = {issue(own_site)["alias"], issue(own_site)["alias"]}
    assert {t["alias"] for t in own_site.get("/services/tokens/show").json()} == aliases
    assert own_site.get("/services/tokens/show/user/reader").json() == []
    assert own_site.get("/services/tokens/dance").status_code == 400


def test_B8_tokens_die_after_their_time(own_site: Site) -> None:
    assert own_site.standin is not None
    token = issue(own_site)
    own_site.standin.clock.advance(2 * 24 * 3600 - 60)
    assert with_pair(own_site, token["alias"], token["secret"]).status_code == 200
    own_site.standin.clock.advance(120)
    assert with_pair(own_site, token["alias"], token["secret"]).status_code == 401


def test_B8_life_is_a_preference(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["aliasTokenTimeout"] = "1 hour"
    token = issue(own_site)
    own_site.standin.clock.advance(3601)
    assert with_pair(own_site, token["alias"], token["secret"]).status_code == 401


def test_B8_tokens_survive_a_restart(tmp_path: Any) -> None:
    from xnat_luigi.standin import StandIn

    with StandIn(root=tmp_path) as server:
        token = issue(Site(server))
    with StandIn(root=tmp_path) as server:
        assert with_pair(Site(server), token["alias"], token["secret"]).status_code == 200


# --- users ----------------------------------------------------------------------------------------


def test_B8_user_listing(own_site: Site) -> None:
    assert own_site.standin is not None
    rows = own_site.rows("/users")
    assert set(rows[0]) == {"xdat_user_id", "login", "firstname", "lastname", "email"}
    assert [row["login"] for row in rows] == ["admin", "reader"]
    assert own_site.get("/users?format=json").json()["ResultSet"]["totalRecords"] == "2"
    own_site.standin.preferences["restrictUserListAccessToAdmins"] = True
    assert own_site.as_user("reader").get("/users?format=json").status_code == 403
    assert len(own_site.rows("/users")) == 2


def test_B8_xapi_users(own_site: Site) -> None:
    assert own_site.get("/xapi/users").json() == ["admin", "reader"]
    assert own_site.get("/xapi/users/username").text == "admin"
    keys = {"id", "username", "firstName", "lastName", "email", "enabled", "verified", "secured"}
    keys |= {"lastModified", "lastSuccessfulLogin", "authorization"}
    for path in ("current", "profile", "profile/admin", "admin"):
        user = own_site.get(f"/xapi/users/{path}").json()
        assert set(user) >= keys, path
        assert user["username"] == "admin"
    reader = own_site.as_user("reader")
    assert reader.get("/xapi/users/profile").json()["username"] == "reader"
    assert reader.get("/xapi/users/active").status_code == 403
    assert "admin" in own_site.get("/xapi/users/active").json()
    assert own_site.get("/xapi/users/nobody").status_code == 404


def test_B8_xapi_users_are_made_and_changed(own_site: Site) -> None:
    new = {"username": "rita", "password": "secret", "firstName": "Rita", "email": "r@example.org"}
    new |= {"enabled": True, "verified": True}
    made = own_site.call("POST", "/xapi/users", json=new)
    assert made.status_code == 201
    assert made.json()["firstName"] == "Rita"
    rita = own_site.as_user("rita", "secret")
    assert rita.get("/auth").status_code == 200
    assert rita.call("POST", "/xapi/users", json={**new, "username": "x"}).status_code == 403
    change = {"lastName": "Roe"}
    assert own_site.call("PUT", "/xapi/users/rita", json=change).status_code == 200
    assert own_site.call("PUT", "/xapi/users/rita", json=change).status_code == 304
    assert own_site.get("/xapi/users/rita").json()["lastName"] == "Roe"


def test_B8_disabled_users_are_out(own_site: Site) -> None:
    assert own_site.put("/xapi/users/reader/enabled/false").status_code == 200
    assert own_site.get("/xapi/users/reader/enabled").json() is False
    assert [row["login"] for row in own_site.rows("/users")] == ["admin"]


def test_B8_roles_groups_projects(own_site: Site) -> None:
    project = own_site.project()
    assert own_site.get("/xapi/users/admin/roles").json() == ["Administrator"]
    assert own_site.get("/xapi/users/reader/projects").json() == []
    path = f"/xapi/users/reader/groups/{project}_member"
    assert own_site.put(path).json() == [f"{project}_member"]
    assert own_site.get("/xapi/users/reader/projects").json() == [project]
    reader = own_site.as_user("reader")
    assert reader.put(f"/projects/{project}/subjects/S1").status_code == 201
    assert own_site.delete(path).json() == []
    assert reader.get(f"/projects/{project}").status_code == 404


# --- the user's cache -----------------------------------------------------------------------------


@pytest.fixture
def cache(site: Site) -> str:
    """A fresh place in the user's cache."""
    return f"/user/cache/resources/{uuid.uuid4().hex}"


def test_B8_cache_place_is_made_once(site: Site, cache: str) -> None:
    assert site.put(cache).status_code == 200
    assert site.put(cache).status_code == 412
    assert cache.rpartition("/")[2] in site.get("/user/cache/resources").text
    assert site.delete(cache).status_code == 200
    assert site.delete(cache).status_code == 404


def test_B8_cache_files(site: Site, cache: str) -> None:
    raw = site.put(f"{cache}/files/a.txt", b"one", params={"inbody": "true"})
    assert raw.status_code == 200
    form = site.put(f"{cache}/files/b.txt", files={"file": ("b.txt", b"two")})
    assert form.status_code == 200
    listed = site.rows(cache)
    assert {(f["Name"], f["Size"]) for f in listed} == {("a.txt", "3"), ("b.txt", "3")}


def test_B8_cache_unpacks(site: Site, cache: str) -> None:
    files = {"x/1.txt": b"1", "2.txt": b"22"}
    query = {"inbody": "true", "extract": "true"}
    for name, body in (("a.zip", zipped(files)), ("b.tgz", tarred(files, "w:gz"))):
        assert site.put(f"{cache}{name[0]}/files/{name}", body, params=query).status_code == 200
        names = {file["Name"] for file in site.rows(f"{cache}{name[0]}")}
        assert names == {"x/1.txt", "2.txt"}
    broken = site.put(f"{cache}/files/c.zip", b"no zip", params=query)
    assert broken.status_code == 422


def test_B8_cache_bugs_of_the_snapshot(own_site: Site, cache: str) -> None:
    own_site.put(f"{cache}/files/a.txt", b"one", params={"inbody": "true"})
    own_site.put(f"{cache}/files/b.txt", b"two", params={"inbody": "true"})
    post = own_site.post(f"{cache}/files", files={"file": ("c.txt", b"x")})
    assert post.status_code == 400
    assert own_site.delete(f"{cache}/files/a.txt").status_code == 200
    assert own_site.get(cache).status_code == 404  # the whole place went


def test_B8_cache_is_private_and_stays_inside(own_site: Site, cache: str) -> None:
    own_site.put(f"{cache}/files/a.txt", b"one", params={"inbody": "true"})
    assert own_site.as_user("reader").get(cache).status_code == 404
    url = f"{own_site.url}/data{cache}/files/..%2F..%2Fout.txt"
    answer = own_site.http.put(url, b"x", params={"inbody": "true"})
    assert answer.status_code == 400
