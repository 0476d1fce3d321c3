"""The server that contract tests talk to: a stand-in of their own, or a lab's real test server.

With `XNAT_LUIGI_TEST_SERVER`, `XNAT_LUIGI_TEST_USER` and `XNAT_LUIGI_TEST_PASSWORD` in the
environment, tests that need no knob run against that server, in throw-away projects that are
deleted afterwards; all others are skipped.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

import requests

from xnat_luigi.standin import StandIn

from .objects import new_uid, study_zip

__all__ = ["Site", "real_server"]


def real_server() -> str:
    """The address of a real test server, "" when tests use stand-ins."""
    return os.environ.get("XNAT_LUIGI_TEST_SERVER", "").rstrip("/")


class Site:
    """A server, a login and the short words that contract tests are written in.

    `Site.standin` is None on a real server. Redirects are never followed.
    """

    def __init__(self, standin: StandIn | None = None) -> None:
        self.standin = standin
        self.url = standin.url if standin else real_server()
        user = os.environ.get("XNAT_LUIGI_TEST_USER", "admin")
        password = os.environ.get("XNAT_LUIGI_TEST_PASSWORD", "admin")
        self.http = requests.Session()
        self.http.trust_env = False
        if standin:
            self.http.auth = ("admin", "admin")
        else:
            self.http.auth = (user, password)
        self.projects: list[str] = []

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request; a path without `/data` or `/xapi` gets `/data`."""
        if not path.startswith(("/data", "/xapi", "/REST", "/schemas", "/app", "/standin")):
            path = f"/data{path}"
        return self.http.request(method, self.url + path, allow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def put(self, path: str, data: Any = None, **more: Any) -> requests.Response:
        return self.call("PUT", path, data=data, **more)

    def post(self, path: str, data: Any = None, **more: Any) -> requests.Response:
        return self.call("POST", path, data=data, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.call("DELETE", path, **more)

    def rows(self, path: str, **query: str) -> list[dict[str, str]]:
        """The rows of a listing."""
        answer = self.get(path, params={"format": "json", **query})
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        rows: list[dict[str, str]] = answer.json()["ResultSet"]["Result"]
        return rows

    def as_user(self, login: str, password: str | None = None) -> Site:
        """The same server, seen by somebody else; `""` is nobody."""
        other = Site.__new__(Site)
        other.standin, other.url, other.projects = self.standin, self.url, []
        other.http = requests.Session()
        other.http.trust_env = False
        if login:
            other.http.auth = (login, login if password is None else password)
        return other

    # words ----------------------------------------------------------------------------------

    def project(self) -> str:
        """A new, empty project."""
        name = f"XL{uuid.uuid4().hex[:10]}"
        answer = self.put(f"/projects/{name}")
        assert answer.status_code in (200, 201), answer.text
        self.projects.append(name)
        return name

    def send(
        self, body: bytes, media: str = "application/zip", **parameters: str
    ) -> requests.Response:
        """An import; `handler` stands for `import-handler`."""
        query = {"import-handler": parameters.pop("handler", "DICOM-zip"), **parameters}
        query = {key.replace("__", "-"): value for key, value in query.items()}
        return self.post("/services/import", body, params=query, headers={"Content-Type": media})

    def received(self, project: str, study: str = "", **options: Any) -> str:
        """Sends a study and returns its row's address below `/data`."""
        scans: Mapping[int, int] | None = options.pop("scans", None)
        answer = self.send(study_zip(study or new_uid(), scans, **options), project=project)
        assert answer.status_code == 200, answer.text
        return answer.text.strip().removeprefix("/data")

    def built(self, project: str, study: str = "", **options: Any) -> str:
        """Sends and builds a study."""
        row = self.received(project, study, **options)
        answer = self.post(row, params={"action": "build"})
        assert answer.status_code == 200, answer.text
        return row

    def archive(self, row: str, **parameters: str) -> requests.Response:
        """Archives a row."""
        return self.post(
            "/services/archive", params={"src": row, "auto-archive": "false", **parameters}
        )

    def archived(self, project: str, study: str = "", **options: Any) -> str:
        """Sends, builds and archives a study; returns the experiment's address below `/data`."""
        answer = self.archive(self.built(project, study, **options))
        assert answer.status_code == 200, answer.text
        return answer.text.strip().removeprefix("/data/archive")

    def status(self, row: str) -> str:
        """A row's status, "" when it is gone."""
        rows = self.rows(row)
        return rows[0]["status"] if rows else ""

    def last_log(self, row: str) -> str:
        """The newest entry of a row's log."""
        return self.get(f"{row}/logs/last").text

    def clean(self) -> None:
        """Deletes the projects made here, with everything in them."""
        for name in self.projects:
            self.delete(f"/projects/{name}", params={"removeFiles": "true"})
        self.http.close()
