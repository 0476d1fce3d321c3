"""Resources equal to a fingerprint, and files that are read and written like local ones."""

from __future__ import annotations

from typing import Any

import pytest

from xnat_luigi.exceptions import XNATIntegrityError, XNATNotFoundError, XNATValueError
from xnat_luigi.standin import Fault, StandIn
from xnat_luigi.targets.resource import Compared, FileTarget, ResourceTarget, fingerprint


def dicom(server: StandIn, **more: Any) -> ResourceTarget:
    return ResourceTarget(server.url, "P1", "DICOM", experiment="S1_MR1", scan="1", **more)


def notes(server: StandIn, path: str = "notes.txt") -> FileTarget:
    return FileTarget(server.url, "P1", "NOTES", experiment="S1_MR1", path=path)


def test_a_resource_equals_its_fingerprint_until_a_file_changes(archive: StandIn) -> None:
    word = fingerprint(dicom(archive).files())
    target = dicom(archive, fingerprint=word)
    assert target.compare() is Compared.BY_DIGEST
    place = FileTarget(archive.url, "P1", "DICOM", experiment="S1_MR1", scan="1", path="1.dcm")
    with place.open("wb") as file:
        file.write(b"ONE")
    assert target.compare() is Compared.DIFFERENT
    assert target.exists() is False


def test_without_digests_the_policy_decides(archive: StandIn) -> None:
    digested = fingerprint(dicom(archive).files())
    bare = digested.rsplit(":", 1)[0] + ":-"
    assert dicom(archive, fingerprint=bare).compare() is Compared.BY_SIZE
    with pytest.raises(XNATIntegrityError, match="refresh its catalog"):
        dicom(archive, fingerprint=bare, policy="fail").compare()


@pytest.mark.parametrize("more", [{"policy": "guess"}, {"fingerprint": "abc"}])
def test_nonsense_is_refused_at_once(more: dict[str, str]) -> None:
    with pytest.raises(XNATValueError):
        ResourceTarget("http://x", "P1", "R", **more)


def test_what_is_written_is_there_when_closed(archive: StandIn) -> None:
    target = notes(archive, "new/words.txt")
    with target.open("w") as file:
        file.write("größer\n")
        assert not target.exists()
    with target.open("r") as file:
        assert file.read() == "größer\n"
    with target.open("rb") as file:
        assert file.read() == "größer\n".encode()


def test_nothing_is_uploaded_when_the_block_fails(archive: StandIn) -> None:
    with pytest.raises(ZeroDivisionError), notes(archive).open("w") as file:
        file.write("half")
        raise ZeroDivisionError
    with notes(archive).open() as file:
        assert file.read() == "hello"


def test_reading_an_absent_file_says_so(archive: StandIn) -> None:
    with pytest.raises(XNATNotFoundError, match="no file"):
        notes(archive, "other.txt").open("r")
    with pytest.raises(XNATValueError, match="mode"):
        notes(archive).open("a")  # type: ignore[call-overload]


def test_N11_a_flipped_byte_is_never_read(archive: StandIn) -> None:
    archive.faults.add(Fault(method="GET", path="/files/notes.txt", flip=0))
    with pytest.raises(XNATIntegrityError, match="MD5"):
        notes(archive).open("r")
