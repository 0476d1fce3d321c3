"""State on disk: it outlives SIGKILL at any moment, and many requests at once do not disturb it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from xnat_luigi.standin import StandIn

from .site import Site, real_server

pytestmark = pytest.mark.skipif(bool(real_server()), reason="a real server is not ours to kill")
MR = "xnat:mrSessionData"


@contextmanager
def served(root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "xnat_luigi.cli", "serve", "--root", str(root)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield "http://" + line.split("http://")[1].split()[0], process
    finally:
        process.kill()
        process.communicate(timeout=30)


def login(url: str) -> requests.Session:
    client = requests.Session()
    client.trust_env = False
    client.post(f"{url}/data/services/auth", data={"username": "admin", "password": "admin"})
    return client


def write_until_killed(url: str, process: subprocess.Popen[str], after: float) -> list[str]:
    """Uploads, creates and renames until the server dies; the answered ones."""
    client = login(url)
    base = f"{url}/data/projects/P1/subjects/S1/experiments"
    timer = threading.Timer(after, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    done: list[str] = []
    name = f"E{random.randrange(10**9)}"
    try:
        client.put(f"{base}/{name}?xsiType={MR}")
        for number in range(10_000):
            path = f"{base}/{name}/resources/R{number % 3}/files/{number}.txt"
            answer = client.put(f"{path}?inbody=true", data=f"{name}-{number}".encode())
            assert answer.status_code == 200
            done.append(f"R{number % 3}/files/{number}.txt")
            if number % 10 == 9:
                new = f"{name}x"
                # Whether a rename that was not answered took place is for the caller to find out.
                done.append(f"?{name}>{new}")
                assert client.put(f"{base}/{name}?label={new}").status_code == 200
                done[-1] = f"!{name}>{new}"
                name = new
    except requests.RequestException:
        pass
    finally:
        timer.join()
    return [name, *done]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_answered_is_lost(tmp_path: Path, seed: int) -> None:
    random.seed(seed)
    root = tmp_path / "root"
    with served(root) as (url, _):
        client = login(url)
        client.put(f"{url}/data/projects/P1")
        client.put(f"{url}/data/projects/P1/subjects/S1")
    with served(root) as (url, process):
        name, *done = write_until_killed(url, process, 0.2 + random.random())
    with served(root) as (url, _):
        client = login(url)
        if done and done[-1].startswith("?"):
            old, new = done.pop()[1:].split(">")
            found = client.get(f"{url}/data/projects/P1/experiments/{new}?format=json")
            name = new if found.status_code == 200 else old
        files = [one for one in done if not one.startswith("!")]
        assert files, "the server died before it did anything; the test says nothing"
        base = f"{url}/data/projects/P1/experiments/{name}"
        listed: dict[str, str] = {}
        for label in ("R0", "R1", "R2"):
            rows = client.get(f"{base}/resources/{label}/files").json()["ResultSet"]["Result"]
            for row in rows:
                listed[f"{label}/files/{row['Name']}"] = row["digest"]
        for path in files:
            content = client.get(f"{base}/resources/{path}").content
            number = path.rpartition("/")[2].removesuffix(".txt")
            assert content.endswith(f"-{number}".encode()), path
            assert listed[path] == hashlib.md5(content).hexdigest(), path
        # It can be worked with as before.
        answer = client.put(f"{base}/resources/R0/files/more.txt?inbody=true", data=b"more")
        assert answer.status_code == 200
        assert requests.get(f"{url}/standin/errors", timeout=5).json() == []


def test_a_rename_killed_in_the_middle_is_finished_at_the_start(tmp_path: Path) -> None:
    with StandIn(tmp_path) as server:
        session = server.add_session("P1", "S1", "E1", resources={"R": {"a": b"hello"}})
        state = server.state
        item = state.items.by_id(session, "experiment")
        assert item is not None
        # What `move()` commits before it touches the disk; then the process dies.
        before = state.resources.item_folder(item)
        resource = state.resources.of(item)[0]
        with state.store.writing():
            item.label = "E2"
            state.items.save(item)
            after = state.resources.item_folder(item)
            resource.folder = after / resource.folder.relative_to(before)
            state.resources.save(resource)
            state.resources.plan_move(before, after)
    with StandIn(tmp_path) as server:
        site = Site(server)
        path = "/projects/P1/experiments/E2/resources/R/files/a"
        assert site.get(path).content == b"hello"
        assert not (tmp_path / "archive/P1/arc001/E1").exists()


def test_leftovers_of_uploads_are_swept(tmp_path: Path) -> None:
    with StandIn(tmp_path):
        left = tmp_path / "tmp" / "body-left"
        left.write_bytes(b"half")
    with StandIn(tmp_path):
        assert not left.exists()


def test_preferences_users_and_sessions_stay(tmp_path: Path) -> None:
    with StandIn(tmp_path) as server:
        server.preferences["checksums"] = False
        server.add_user("ann", "secret", P1="member")
        session = Site(server).get("/JSESSION").text
    with StandIn(tmp_path) as server:
        assert server.preferences["checksums"] is False
        assert server.state.users.role("P1", "ann") == "member"
        known = {"Cookie": f"JSESSIONID={session}"}
        assert Site(server).as_user("").get("/auth", headers=known).status_code == 200


def test_the_sites_address_is_that_of_this_run_unless_chosen(tmp_path: Path) -> None:
    for _ in range(2):
        with StandIn(tmp_path) as server:
            assert server.preferences["siteUrl"] == server.url
    with StandIn(tmp_path) as server:
        server.preferences["siteUrl"] = "https://x.org"
    with StandIn(tmp_path) as server:
        assert server.preferences["siteUrl"] == "https://x.org"


def test_a_file_put_there_by_hand(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session(
        "P1", "S1", "E1", scans={"1": {"type": "T1", "resources": {"DICOM": {"a.dcm": b"a"}}}}
    )
    folder = standin.root / "archive/P1/arc001/E1/SCANS/1/DICOM"
    (folder / "sub").mkdir()
    (folder / "sub" / "b.dcm").write_bytes(b"by hand")
    files = f"/experiments/{session}/scans/1/resources/DICOM/files"

    def listed() -> dict[str, str]:
        rows = own_site.rows(files)
        return {row["URI"].partition("/files/")[2]: row["digest"] for row in rows}

    def refresh(options: str) -> None:
        query = {"resource": f"/archive/experiments/{session}/scans/1", "options": options}
        assert own_site.post("/services/refresh/catalog", params=query).status_code == 200

    assert set(listed()) == {"a.dcm"}
    assert own_site.get(f"{files}/sub/b.dcm").status_code == 404
    refresh("checksum,populateStats,delete")
    assert set(listed()) == {"a.dcm"}
    refresh("append,checksum,populateStats")
    assert listed()["sub/b.dcm"] == hashlib.md5(b"by hand").hexdigest()
    assert own_site.get(f"{files}/sub/b.dcm").content == b"by hand"
    assert own_site.rows(f"/experiments/{session}/scans/1/resources")[0]["file_count"] == "2"


def test_fifty_clients_at_once(standin: StandIn) -> None:
    files = {f"{n}.dcm": os.urandom(20_000) for n in range(10)}
    session = standin.add_session(
        "P1", "S1", "E1", scans={"1": {"type": "T1", "resources": {"DICOM": files}}}
    )
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            client = login(standin.url)
            base = f"{standin.url}/data/experiments/{session}"
            for name, data in files.items():
                got = client.get(f"{base}/scans/1/resources/DICOM/files/{name}", timeout=60)
                if got.content != data:
                    wrong.append((number, name, got.status_code))
            made = client.put(f"{standin.url}/data/projects/P1/subjects/N{number}", timeout=60)
            if made.status_code != 201:
                wrong.append((number, made.status_code, made.text))
        except requests.RequestException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(Site(standin).rows("/projects/P1/subjects")) == 51
    assert time.monotonic() - begin < 60
