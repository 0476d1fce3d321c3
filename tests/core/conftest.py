"""A session on a stand-in with a small project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import xnat_luigi as xnat
from xnat_luigi.standin import StandIn


@pytest.fixture(scope="session", autouse=True)
def kept_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The schemas are read once for all tests here."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XNAT_LUIGI_CACHE", os.fspath(tmp_path_factory.mktemp("model")))
    yield
    patch.undo()


@pytest.fixture
def site(standin: StandIn) -> StandIn:
    """P1 with S1 (two sessions, two scans, resources) and S2, and an empty project P2."""
    standin.add_project("P1", name="first", resources={"DOCS": {"read me.txt": b"hello"}})
    standin.add_project("P2", name="second")
    standin.add_session(
        "P1",
        "S1",
        "S1_MR1",
        scans={
            "1": {
                "type": "T1",
                "series_description": "T1 MPRAGE",
                "resources": {
                    "DICOM": {"1.dcm": b"one", "2.dcm": b"two two"},
                    "NIFTI": {"a/b.nii": b"nifti"},
                },
            },
            "2": {"type": "T2", "resources": {"DICOM": {"1.dcm": b"x"}}},
            "3": {"type": "T2"},
        },
        resources={"LOGS": {"log.txt": b"it ran", "sub/log.txt": b"again"}},
        UID="1.2.3.4",
        date="2024-02-01",
    )
    standin.add_session("P1", "S1", "S1_CT1", xsi_type="xnat:ctSessionData", scans={"1": "CT"})
    standin.add_subject("P1", "S2", demographics={"gender": "female", "age": 30})
    return standin


@pytest.fixture
def session(site: StandIn) -> Iterator[Any]:
    """Our user, an administrator."""
    with xnat.connect(site.url, user="admin", password="admin") as connection:
        yield connection


@pytest.fixture
def project(session: Any) -> Any:
    return session.projects["P1"]


@pytest.fixture
def experiment(project: Any) -> Any:
    return project.experiments["S1_MR1"]


def asked(site: StandIn) -> list[str]:
    """The addresses asked so far, with their verbs."""
    return [f"{one.method} {one.path}" for one in site.requests]
