"""Files, names and catalogs that go wrong: nothing is claimed that the server does not show."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.rest.conftest import no_sleep
from xnat_luigi import uris
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import (
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATUnsafeNameError,
    XNATUploadError,
)
from xnat_luigi.rest import contents, items, services
from xnat_luigi.rest.files import catalogs, download, removal, upload
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.transfer.upload import make_sending, read_sendings, upload_files
from xnat_luigi.transfer.zipped import fetch_folder
from xnat_luigi.uris import Address


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    """One server for all: every test has a project of its own."""
    with StandIn() as server:
        yield server


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    connection = Connection(Transport(standin.url), Credentials("admin", "admin"), sleep=no_sleep)
    yield connection
    standin.faults.clear()
    standin.preferences["checksums"] = True
    connection.close()


@pytest.fixture
def place(standin: StandIn, request: pytest.FixtureRequest) -> Address:
    """A session of its own, with a resource FILES that holds two files."""
    project = f"P{abs(hash(request.node.nodeid)) % 10**9}"
    id_ = standin.add_session(
        project, "S1", "S1_MR", resources={"FILES": {"a.txt": b"one", "b.txt": b"two two"}}
    )
    return Address(experiment=id_)


CATALOG = '<cat:Catalog xmlns:cat="http://nrg.wustl.edu/catalog"><cat:entries>{}</cat:entries></cat:Catalog>'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<cat:Catalog",
        b"<other/>",
        CATALOG.format("<cat:entry/>").encode(),
        CATALOG.format('<cat:entry URI="/absolute"/>').encode(),
        b'<!DOCTYPE x [<!ENTITY e "boom">]>' + CATALOG.format('<cat:entry URI="&e;"/>').encode(),
    ],
)
def test_N12_a_damaged_catalog_is_an_error(document: bytes) -> None:
    with pytest.raises(XNATError):
        catalogs.parse_catalog(document)


def test_N12_what_a_catalog_can_say() -> None:
    entry = (
        '<cat:entry URI="https://elsewhere/x" cachePath="x.dcm" digest="ABCD" UID="1.2">'
        '<cat:metaFields><cat:metaField name="SIZE">12</cat:metaField></cat:metaFields></cat:entry>'
        '<cat:entry URI="y.dcm"/>'
    )
    first, second = catalogs.parse_catalog(CATALOG.format(entry).encode()).entries
    assert (first.path, first.size, first.digest, first.uid) == ("x.dcm", 12, "abcd", "1.2")
    assert (second.path, second.size, second.digest) == ("y.dcm", None, "")


def test_N12_a_wrong_digest_names_both(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    standin.preferences["checksums"] = False
    upload.put_file(conn, place, "FILES", "a.txt", b"two", overwrite=True)  # the old digest stays
    files = contents.list_files(conn, place, "FILES")
    wanted = [(one, tmp_path / one.path) for one in files]
    with pytest.raises(XNATIntegrityError) as caught:
        fetch_folder(conn, place.files("FILES"), wanted, root=tmp_path)
    assert hashlib.md5(b"one").hexdigest() in str(caught.value)
    assert hashlib.md5(b"two").hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_N12_files_without_a_digest_are_noted_as_unverified(
    conn: Connection,
    place: Address,
    standin: StandIn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    standin.preferences["checksums"] = False
    upload.put_file(conn, place, "NEW", "x.txt", b"words")
    files = contents.list_files(conn, place)
    fetch_folder(conn, place.files(), [(one, tmp_path / one.path) for one in files], root=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert "1 of 3 files are unverified" in caplog.text and "x.txt" in caplog.text


def test_N12_a_listed_file_that_misses_on_the_disk_is_named(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    upload.put_file(conn, place, "FILES", "c.txt", b"three")
    for found in (standin.root / "archive").rglob("c.txt"):
        found.unlink()
    files = contents.list_files(conn, place, "FILES")
    wanted = [(one, tmp_path / one.path) for one in files]
    with pytest.raises(XNATNotFoundError, match=r"c\.txt"):
        fetch_folder(conn, place.files("FILES"), wanted, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_P5_a_refresh_that_did_nothing_is_seen(
    conn: Connection, place: Address, standin: StandIn
) -> None:
    standin.preferences["checksums"] = False
    upload.put_file(conn, place, "NEW", "x.txt", b"words")
    standin.faults.add(Fault(method="POST", path="/refresh/catalog", status=200, body=" "))
    services.refresh_catalog(conn, place.archive_uri(), ["checksum"])
    assert [one.digest for one in contents.list_files(conn, place, "NEW")] == [""]
    standin.faults.clear()
    services.refresh_catalog(conn, place.archive_uri(), ["checksum"])
    digests = [one.digest for one in contents.list_files(conn, place, "NEW")]
    assert digests == [hashlib.md5(b"words").hexdigest()]


COUNTER = itertools.count()
NAMES = st.lists(
    st.text(
        st.one_of(
            st.sampled_from(" +%#?&;=@~'()[]{}!,$^`éüß中."),
            st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="/\\\x7f"),
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES)
@example(name="a b%23.txt")
@example(name="50% + 1#.txt")
@example(name="a%20b.txt")
@example(name="sub/ü ö.txt")
def test_T4_file_names_round_trip_or_are_refused_before_sending(
    conn: Connection, place: Address, standin: StandIn, name: str
) -> None:
    label = f"R{next(COUNTER)}"
    try:
        upload.put_file(conn, place, label, name, b"words")
    except XNATUnsafeNameError:
        assert not any(f"/{label}/" in one.path for one in standin.requests)
        return
    (found,) = contents.list_files(conn, place, label)
    assert found.path == name
    assert download.read_file(conn, found.uri, limit=100) == b"words"
    if not name.endswith("*"):
        removal.delete_file(conn, place, label, name)
        assert contents.list_files(conn, place, label) == []


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES)
def test_T4_in_archives_all_names_round_trip(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path, name: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"words")
    label = f"R{next(COUNTER)}"  # one file may be the folder of the next
    try:
        upload_files(conn, place, label, [make_sending(name, source)], mode="archive")
    except XNATUnsafeNameError:
        return
    found = {one.path: one for one in contents.list_files(conn, place, label)}
    assert download.read_file(conn, found[name].uri, limit=100) == b"words"


@settings(max_examples=200, deadline=None)
@given(label=st.text(max_size=20))
def test_T4_labels_are_fit_for_the_server_or_refused(label: str) -> None:
    fits = bool(label) and all(c.isascii() and (c.isalnum() or c in "_-") for c in label)
    assert uris.is_label(label) == fits
    if fits:
        assert uris.check_label(label) == label
    else:
        with pytest.raises(XNATUnsafeNameError):
            uris.check_label(label)


def test_T4_existing_odd_labels_are_read_by_id(conn: Connection, standin: StandIn) -> None:
    for label in ("old label", "50%", "a#b", "ü"):
        id_ = standin.add_session("ODD", "S1", label, resources={"FILES": {"a.txt": b"one"}})
        assert items.get_item(conn, uris.experiment(id_)).text("label") == label
        assert len(contents.list_session_files(conn, id_)) == 1


def test_A8_12_a_lost_answer_is_looked_after(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_bytes(b"three")
    standin.faults.add(Fault(method="PUT", path=r"c\.txt", drop=True, times=1))
    done = upload_files(conn, place, "FILES", read_sendings(tmp_path))
    assert done.sent == ("c.txt",)
    target = place.file("FILES", "c.txt")
    puts = [one for one in standin.requests if one.method == "PUT" and one.path == target]
    assert len(puts) == 1  # it had worked: nothing was sent twice


@pytest.mark.parametrize("arrives", [True, False])
def test_N8_an_upload_that_a_proxy_gave_up_is_waited_for_before_it_is_sent_again(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path, arrives: bool
) -> None:
    """The server may still be at it: two uploads side by side would lose entries (A 6.4)."""
    (tmp_path / "c.txt").write_bytes(b"three")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if arrives and len(slept) == 2:
            upload.put_file(conn, place, "FILES", "c.txt", b"three")  # the job behind the proxy

    own = Connection(Transport(standin.url), Credentials("admin", "admin"), sleep=sleep)
    rule = standin.faults.add(Fault(method="PUT", path=r"c\.txt", status=504, times=1))
    upload_files(own, place, "FILES", read_sendings(tmp_path))
    own.close()
    target = place.file("FILES", "c.txt")
    puts = [one for one in standin.requests if one.method == "PUT" and one.path == target]
    assert rule.fired == 1
    assert len(puts) == 2  # that of the fault, and the job's or ours
    assert sum(slept) == (3.0 if arrives else 30.0)


def test_A6_4_a_500_whose_bytes_lie_on_the_disk_is_mended(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_bytes(b"three")
    standin.faults.add(Fault(method="PUT", path=r"c\.txt", status=500, times=1))
    done = upload_files(conn, place, "FILES", read_sendings(tmp_path))
    assert done.sent == ("c.txt",)
    assert {one.path for one in contents.list_files(conn, place, "FILES")} == {
        "a.txt",
        "b.txt",
        "c.txt",
    }


def test_A6_4_what_the_server_holds_otherwise_is_an_error(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_bytes(b"three")
    standin.faults.add(Fault(method="PUT", path=r"c\.txt", status=200, body=" "))
    with pytest.raises(XNATUploadError, match="the server said yes"):
        upload_files(conn, place, "FILES", read_sendings(tmp_path))


def test_A6_2_a_stale_digest_is_told_apart_from_wrong_bytes(
    conn: Connection, place: Address, standin: StandIn, tmp_path: Path
) -> None:
    standin.preferences["checksums"] = False
    (tmp_path / "a.txt").write_bytes(b"new")
    done = upload_files(conn, place, "FILES", read_sendings(tmp_path), overwrite=True)
    assert done.stale == ("a.txt",)
    (tmp_path / "d.txt").write_bytes(b"four")
    some = upload_files(conn, place, "FILES", read_sendings(tmp_path, ["d.txt"]))
    assert some.by_size == ("d.txt",)
    again = upload_files(
        conn, place, "FILES", read_sendings(tmp_path, ["d.txt"]), read_back=True, overwrite=True
    )
    assert again.by_size == () and again.kept == ("d.txt",)
