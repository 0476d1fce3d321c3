"""A site as the tutorial finds it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xnat_luigi as xnat
from pipelines.material import make_study, series_of
from xnat_luigi.standin import StandIn


def zip_folder(folder: Path, target: Path) -> Path:
    """A zip of all files in a folder."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return target


@pytest.fixture(scope="session")
def study_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive the tutorial imports: two MR series of four slices."""
    folder = tmp_path_factory.mktemp("study")
    make_study(
        folder / "dicom",
        subject="ANONYMIZ",
        session="ANONYMIZ",
        series=series_of(("T1", "FLAIR"), slices=4),
    )
    return zip_folder(folder / "dicom", folder / "archive.zip")


@pytest.fixture(scope="module")
def server(study_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A server with the tutorial's projects, one of them with a DICOM session."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XNAT_LUIGI_CACHE", str(tmp_path_factory.mktemp("cache")))
    with StandIn(users={"admin": "admin"}) as server:
        server.add_project("sandbox", name="sandbox project")
        server.add_project("brainimages", name="brain images")
        server.add_project("myproject", name="my project")
        server.add_subject("sandbox", "test001")
        with xnat.connect(server.url, user="admin", password="admin") as session:
            session.services.import_(
                str(study_zip), project="sandbox", subject="ANONYMIZ", experiment="ANONYMIZ"
            )
        yield server
    patch.undo()


@pytest.fixture
def session(server: StandIn) -> Iterator[Any]:
    with xnat.connect(server.url, user="admin", password="admin") as session:
        yield session


@pytest.fixture
def home(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a netrc file for the server."""
    host = server.url.removeprefix("http://").partition(":")[0]
    file = tmp_path / ".netrc"
    file.write_text(f"machine {host}\n    login admin\n    password admin\n")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path
