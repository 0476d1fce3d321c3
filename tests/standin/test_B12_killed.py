"""SIGKILL while studies come in: afterwards every study gets into the archive, once and whole."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest
import requests

from .objects import study_files, zipped
from .site import Site, real_server
from .test_restart import served

pytestmark = pytest.mark.skipif(bool(real_server()), reason="a real server is not ours to kill")


def at(url: str) -> Site:
    """The words of a site for a server in another process."""
    site = Site.__new__(Site)
    site.standin, site.url, site.projects = None, url, []
    site.http = requests.Session()
    site.http.trust_env = False
    site.http.auth = ("admin", "admin")
    return site


def take_in(site: Site, study: str, label: str, files: dict[str, bytes]) -> None:
    """Brings a study into the archive from wherever it stands, by the recovery table (B 13.1)."""
    rows = site.rows("/prearchive/projects/P1", tag=study)
    assert len(rows) <= 1, rows
    address = f"/projects/P1/subjects/SU/experiments/{label}"
    found = site.get(address, params={"format": "json"})
    if found.status_code == 200:
        assert found.json()["items"][0]["data_fields"]["UID"] == study
        if rows:  # the server died between saving and leaving
            site.post(rows[0]["url"], params={"action": "reset-status"})
            site.delete(rows[0]["url"])
        return
    if rows:
        site.post(rows[0]["url"], params={"action": "reset-status"})
    sent = site.send(zipped(files), project="P1", subject="SU", session=label)
    assert sent.status_code == 200, sent.text
    row = sent.text.strip().removeprefix("/data")
    assert site.post(row, params={"action": "build"}).status_code == 200
    archived = site.archive(row)
    assert archived.status_code == 200, archived.text


@pytest.mark.parametrize("seed", range(int(os.environ.get("XNAT_LUIGI_KILLS", "1"))))
def test_B12_every_study_gets_in_once_and_whole(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    studies = {f"SE{number}": f"2.25.{seed + 1}{number:03}" for number in range(4)}
    files = {
        label: study_files(study, {1: 20, 2: 5}, subject="SU", session=label)
        for label, study in studies.items()
    }
    waiting = list(studies)
    for _ in range(30):
        with served(tmp_path / "root") as (url, process):
            site = at(url)
            site.put("/projects/P1")
            timer = threading.Timer(dice.uniform(0.1, 0.8), os.kill, (process.pid, signal.SIGKILL))
            timer.start()
            try:
                while waiting:
                    take_in(site, studies[waiting[0]], waiting[0], files[waiting[0]])
                    waiting.pop(0)
            except requests.RequestException:
                pass
            finally:
                timer.cancel()
                site.http.close()
        if not waiting:
            break
    assert not waiting, "the server died before a study got in, every time"
    with served(tmp_path / "root") as (url, _):
        site = at(url)
        for label, sent in files.items():
            take_in(site, studies[label], label, sent)  # removes a row that was left
        assert site.rows("/prearchive/projects/P1") == []
        rows = site.rows("/projects/P1/experiments")
        assert sorted(row["label"] for row in rows) == sorted(studies)
        for label, sent in files.items():
            address = f"/projects/P1/experiments/{label}/resources"
            assert site.get(address).status_code == 200
            base = f"/projects/P1/subjects/SU/experiments/{label}/scans"
            site.post(
                "/services/refresh/catalog",
                params={"resource": f"/archive{base[:-6]}", "options": "checksum,populateStats"},
            )
            seen = {}
            for scan in ("1", "2"):
                for entry in site.rows(f"{base}/{scan}/resources/DICOM/files"):
                    seen[entry["Name"]] = entry["digest"]
                    content = site.get(entry["URI"]).content
                    assert hashlib.md5(content).hexdigest() == entry["digest"]
            assert seen == {name: hashlib.md5(data).hexdigest() for name, data in sent.items()}
        assert requests.get(f"{url}/standin/errors", timeout=5).json() == []
