"""Fault rows of transfers: N3, N4, N9, N11, N12, D6, Z1 and Z3, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.exceptions import (
    XNATConnectionError,
    XNATIntegrityError,
    XNATIOError,
    XNATNotFoundError,
    XNATPageError,
    XNATUnsafeNameError,
)
from xnat_luigi.rest.contents import list_files, list_resources
from xnat_luigi.rest.records import File
from xnat_luigi.staging.manifest import read_manifest
from xnat_luigi.staging.pack import pack_zip
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.transfer.carry import Carrier, Parcel
from xnat_luigi.transfer.fetch import Fetched, fetch_resource, manifest_path
from xnat_luigi.transfer.layout import Origin
from xnat_luigi.transfer.standing import Wanted
from xnat_luigi.uris import Address

SINGLE = r"/files/0\.dcm"
PAGE = "<!DOCTYPE html><html><body>Something went wrong</body></html>"


class Room:
    """One scan with a resource of `count` files, and a folder to bring it to."""

    def __init__(self, server: StandIn, folder: Path, count: int = 1, size: int = 50_000) -> None:
        self.server = server
        self.files = {f"{n}.dcm": bytes([n + 1]) * size for n in range(count)}
        scans = {"1": {"type": "T1", "resources": {"DICOM": self.files}}}
        self.session = server.add_session("P1", "S0", "E0", scans=scans)
        self.conn: Connection = connection_for(server.url)
        self.root = folder / "data"
        address = Address(experiment=self.session)
        (row,) = list_resources(self.conn, address, everything=True)
        self.listing = list_files(self.conn, address, row.id)
        self.origin = Origin(
            server.url, "P1", "S", "S0", self.session, "E0", "scans", "1", "T1", row.id, row.label
        )
        server.log.clear()

    def fetch(self, listing: list[File] | None = None, **more: object) -> Fetched:
        files = self.listing if listing is None else listing
        return fetch_resource(self.conn, self.origin, files, self.root, **more)  # type: ignore[arg-type]

    def fault(self, path: str = SINGLE, **what: object) -> Fault:
        return self.server.faults.add(Fault(method="GET", path=path, **what))  # type: ignore[arg-type]

    def on_disk(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found if path.suffix != ".json"}

    def requests(self) -> int:
        return len(self.server.requests)

    @property
    def noted(self) -> bool:
        return manifest_path(self.root, self.origin).exists()


@pytest.fixture
def one(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Room]:
    yield Room(standin, tmp_path)
    close_all()


@pytest.fixture
def many(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Room]:
    yield Room(standin, tmp_path, count=6)
    close_all()


@pytest.mark.parametrize("how", [{"cut": 20_000}, {"cut": 20_000, "cut_reset": True}])
def test_N3_a_body_that_breaks_off_comes_again(one: Room, how: dict[str, object]) -> None:
    one.fault(times=1, **how)
    assert one.fetch().files == 1
    assert one.on_disk() == one.files


def test_N3_a_body_that_always_breaks_off_is_an_error_and_no_file(one: Room) -> None:
    one.fault(cut=20_000)
    with pytest.raises(XNATConnectionError):
        one.fetch()
    assert one.on_disk() == {}
    assert not one.noted


def test_N3_a_zip_cut_short_is_asked_for_again(many: Room) -> None:
    many.fault("format=zip", cut=120_000, times=1)
    assert many.fetch().files == 6
    assert many.on_disk() == many.files
    zips = [one for one in many.server.requests if "format=zip" in str(one.query)]
    assert len(zips) == many.requests() == 2


def test_N3_what_a_broken_zip_has_proven_is_not_fetched_again(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    many = Room(standin, tmp_path, count=6, size=400_000)
    many.fault("format=zip", cut=1_700_000, times=1)
    many.fault("format=zip", status=404, html=True)
    assert many.fetch().files == 6
    assert many.on_disk() == many.files
    singles = [one for one in many.server.requests if "format=zip" not in str(one.query)]
    assert 2 <= len(singles) <= 4  # up to four members had arrived whole


@pytest.mark.parametrize(
    "how", [{"cut": 20_000, "no_length": True}, {"extra": "x" * 100, "no_length": True}]
)
def test_N4_a_wrong_length_without_a_word_is_caught(one: Room, how: dict[str, object]) -> None:
    one.fault(times=1, **how)
    assert one.fetch().files == 1
    assert one.on_disk() == one.files
    assert one.requests() == 2


def test_N4_it_is_an_error_when_it_stays_so(one: Room) -> None:
    one.fault(extra="x" * 100, no_length=True)
    with pytest.raises(XNATIntegrityError, match="more than the 50000 bytes"):
        one.fetch()
    assert one.on_disk() == {}


def test_N9_a_page_in_place_of_a_file_is_never_stored(one: Room) -> None:
    one.fault(replace=PAGE)
    with pytest.raises(XNATIntegrityError):
        one.fetch()
    assert one.on_disk() == {}
    assert not one.noted


def test_N9_not_even_where_nothing_is_known_of_the_file(one: Room) -> None:
    one.fault(replace=PAGE)
    (listed,) = one.listing
    bare = File(listed.path, None, "", listed.uri, listed.resource_label, listed.resource_id)
    with pytest.raises(XNATPageError, match="refresh its catalog"):
        one.fetch([bare])
    assert one.on_disk() == {}


def test_N9_a_page_in_place_of_a_zip_costs_single_requests(many: Room) -> None:
    many.fault("format=zip", replace=PAGE)
    assert many.fetch().files == 6
    assert many.on_disk() == many.files


def test_N9_a_real_page_with_the_right_digest_is_stored(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    room = Room(standin, tmp_path)
    room.files = {"report.html": PAGE.encode()}
    standin.add_session("P1", "S0", "E1", scans={"1": {"resources": {"DICOM": room.files}}})
    address = Address(experiment=standin.state.items.experiment("P1", "E1").id)  # type: ignore[union-attr]
    (row,) = list_resources(room.conn, address, everything=True)
    origin = Origin(
        room.origin.server,
        "P1",
        "S",
        "S0",
        address.experiment or "",
        "E1",
        "scans",
        "1",
        "",
        row.id,
        row.label,
    )
    fetch_resource(room.conn, origin, list_files(room.conn, address, row.id), room.root)
    assert room.on_disk() == room.files
    close_all()


def test_N11_a_flipped_byte_is_fetched_again_and_twice_is_an_error(one: Room) -> None:
    one.fault(flip=-1, times=1)
    assert one.fetch().files == 1
    assert one.on_disk() == one.files
    assert one.requests() == 2


def test_N11_twice_wrong_is_an_integrity_error(one: Room) -> None:
    one.fault(flip=-1)
    with pytest.raises(XNATIntegrityError, match="MD5") as caught:
        one.fetch()
    assert caught.value.exit_status == 7
    assert one.requests() == 2
    assert one.on_disk() == {}


def test_N11_a_file_replaced_after_it_was_listed_is_an_error_now_and_right_next_time(
    one: Room,
) -> None:
    new = {"0.dcm": b"replaced meanwhile"}
    one.server.add_session("P1", "S0", "E0", scans={"1": {"resources": {"DICOM": new}}})
    with pytest.raises(XNATIntegrityError):
        one.fetch()
    assert one.on_disk() == {}
    one.fetch(list_files(one.conn, Address(experiment=one.session), one.origin.resource_id))
    assert one.on_disk() == new


def test_Z3_a_flipped_byte_in_a_zip_costs_single_requests_only(many: Room) -> None:
    many.fault("format=zip", flip=60_000)
    assert many.fetch().files == 6
    assert many.on_disk() == many.files


def test_Z3_files_that_miss_in_the_zip_are_fetched_singly(many: Room) -> None:
    base = "E0/scans/1/resources/DICOM/files"
    some = {f"{base}/{name}": data for name, data in list(many.files.items())[:4]}
    with served(many, b"".join(pack_zip(some.items()))):
        assert many.fetch().files == 6
    assert many.on_disk() == many.files
    assert many.requests() == 3


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "E0/scans/1/../../../../evil"])
def test_Z1_a_hostile_zip_writes_nothing_and_the_files_come_singly(many: Room, name: str) -> None:
    hostile = b"".join(pack_zip([("x" * len(name), b"evil")])).replace(
        b"x" * len(name), name.encode()
    )
    with served(many, hostile):
        assert many.fetch().files == 6
    assert many.on_disk() == many.files
    assert not list(many.root.parent.rglob("*evil*"))


def test_Z1_names_of_other_sessions_files_are_passed_over(many: Room) -> None:
    other = {"E0/scans/7/resources/DICOM/files/0.dcm": b"other", "strange": b"other"}
    with served(many, b"".join(pack_zip(other.items()))):
        assert many.fetch().files == 6
    assert many.on_disk() == many.files


def test_N12_a_file_that_misses_on_the_servers_disk_is_named(many: Room) -> None:
    (path,) = many.server.root.rglob("3.dcm")
    path.unlink()
    with pytest.raises(XNATNotFoundError, match=r"3\.dcm"):
        many.fetch()
    assert sorted(many.on_disk()) == ["0.dcm", "1.dcm", "2.dcm", "4.dcm", "5.dcm"]
    assert not many.noted  # not complete: the next run adopts the five and asks for the sixth


def test_N12_no_digests_is_noted(many: Room) -> None:
    bare = [File(f.path, f.size, "", f.uri, f.resource_label, f.resource_id) for f in many.listing]
    done = many.fetch(bare)
    assert done.bare == 6
    assert {entry.proof for entry in done.manifest.entries} == {"size"}
    with pytest.raises(XNATIntegrityError, match="no digest on the server"):
        many.fetch(bare, digests="fail")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//x", "a\\..\\x", "a\nb", "x" * 256])
def test_D6_names_that_are_refused_are_refused_before_anything_is_asked(
    one: Room, path: str
) -> None:
    listed = one.listing[0]
    evil = File(path, 1, "", listed.uri, listed.resource_label, listed.resource_id)
    with pytest.raises(XNATUnsafeNameError):
        one.fetch([*one.listing, evil])
    assert one.requests() == 0
    assert one.on_disk() == {}


def test_D6_a_file_and_a_folder_of_one_name_are_refused(one: Room) -> None:
    listed = one.listing[0]
    both = [
        File(path, 1, "", listed.uri, listed.resource_label, listed.resource_id)
        for path in ("a", "a/b")
    ]
    with pytest.raises(XNATUnsafeNameError, match="would lie at one place"):
        one.fetch(both)


def test_D6_a_planted_link_is_not_followed(one: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (one.root / "P1").mkdir(parents=True)
    (one.root / "P1" / "S0").symlink_to(outside)
    with pytest.raises(XNATUnsafeNameError, match="symbolic link"):
        one.fetch()
    assert list(outside.iterdir()) == []


class served:
    """The next zips are these bytes."""

    def __init__(self, room: Room, data: bytes) -> None:
        self.room = room
        self.data = data

    def __enter__(self) -> None:
        self.room.fault("format=zip", replace=self.data.decode(errors="surrogateescape"))

    def __exit__(self, *facts: object) -> None:
        self.room.server.faults.clear()


def test_D1_a_journal_that_cannot_be_written_leaves_no_part_behind(many: Room) -> None:
    def fail(rows: object) -> None:
        raise XNATIOError("writing the journal failed: the disk is full")

    places = {file.path: many.root / file.path for file in many.listing}
    places["0.dcm"].parent.mkdir(parents=True)
    places["0.dcm"].write_bytes(b"mine")
    wanted = [Wanted(file, places[file.path], file.path, displace=True) for file in many.listing]
    carrier = Carrier(many.conn, many.root, journal=fail)
    with pytest.raises(XNATIOError, match="the disk is full"):
        carrier.bring([Parcel(many.origin, tuple(wanted), tuple(many.listing))])
    assert many.on_disk() == {"0.dcm": b"mine"}


def test_D5_the_manifest_forgets_what_the_server_has_no_more(many: Room) -> None:
    done = many.fetch()
    keep = done.manifest.entries[1:]
    assert many.fetch(many.listing[1:], keep=keep).kept == 5
    noted = read_manifest(manifest_path(many.root, many.origin))
    assert noted is not None
    assert noted.entries == keep
