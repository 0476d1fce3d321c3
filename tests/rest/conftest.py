"""A connection to the stand-in, and a small project to ask about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.standin import StandIn


def no_sleep(seconds: float) -> None:
    """Waits are not slept here."""


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    """Our user, an administrator."""
    connection = Connection(Transport(standin.url), Credentials("admin", "admin"), sleep=no_sleep)
    yield connection
    connection.close()


@pytest.fixture
def reader(standin: StandIn) -> Iterator[Connection]:
    """A user who may read project P1 and nothing else."""
    standin.add_user("looker", "secret", P1="collaborator")
    connection = Connection(Transport(standin.url), Credentials("looker", "secret"), sleep=no_sleep)
    yield connection
    connection.close()


@pytest.fixture
def project(standin: StandIn) -> str:
    """P1 with the subjects S1 and S2; S1 has the session S1_MR1 with two scans."""
    standin.add_project("P1", name="The first", description="A test")
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
            "2": {"type": "T2", "quality": "questionable", "resources": {"DICOM": {"1.dcm": b"x"}}},
        },
        resources={"LOGS": {"log.txt": b"it ran", "sub/log.txt": b"again"}},
        UID="1.2.3.4",
        date="2024-02-01",
    )
    standin.add_subject("P1", "S2")
    return "P1"
