"""Laws that hold for every input: catalogs, zips, tars, forms, ranges, routes, filters."""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from xnat_luigi.standin.multipart import read_parts
from xnat_luigi.standin.router import Router
from xnat_luigi.standin.routes import Route
from xnat_luigi.standin.state import State
from xnat_luigi.standin.state.catalog import Catalog, Entry, read_catalog, write_catalog
from xnat_luigi.standin.wire import Answer, Params, Request
from xnat_luigi.standin.writing import Cut, cut_range
from xnat_luigi.standin.zipping import Clash, tar_chunks, zip_chunks

# XML cannot hold control characters, and turns a carriage return into a newline.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).map(
    lambda text: text.replace("/", "_")
)
FILES = st.dictionaries(NAME, st.binary(max_size=300), max_size=6)


@given(
    st.lists(st.tuples(NAME, TEXT, TEXT, TEXT, st.integers(0, 10**12)), max_size=5),
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
    st.booleans(),
)
def test_catalogs_are_read_as_they_were_written(
    facts: list[tuple[str, str, str, str, int]], meta: dict[str, str], dicom: bool
) -> None:
    entries = [
        Entry(uri=uri, id=uri, name=uri, cache_path=uri, format=a, content=b, uid=c, size=size,
              tags=[a] if a else [])
        for uri, a, b, c, size in facts
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x_catalog.xml"
        write_catalog(path, Catalog(entries, dicom=dicom, meta=meta))
        found = read_catalog(path)
    assert found.entries == entries
    assert (found.dicom, found.meta) == (dicom, meta)


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.sampled_from("abcdefg"))
def test_find_is_the_first_match_also_while_the_catalog_grows(names: list[str], name: str) -> None:
    catalog = Catalog()
    for number, one in enumerate(names):
        catalog.entries.append(Entry(uri=one, id=f"{one}-{number}"))
        found = catalog.find(name)
        first = next((e for e in catalog.entries if e.uri == name), None)
        assert found is first
    if names:
        catalog.entries = catalog.entries[1:]
        assert catalog.find(name) is next((e for e in catalog.entries if e.uri == name), None)


def on_disk(folder: str, files: dict[str, bytes]) -> list[tuple[str, Path]]:
    placed = []
    for number, (name, data) in enumerate(files.items()):
        path = Path(folder) / str(number)
        path.write_bytes(data)
        placed.append((name, path))
    return placed


@settings(deadline=None)
@given(FILES, st.sampled_from([0, 8, 1]))
def test_zips_hold_what_was_put_in(files: dict[str, bytes], level: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = b"".join(zip_chunks(on_disk(folder, files), level))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {info.orig_filename: archive.read(info) for info in archive.infolist()} == files


def test_large_zips_use_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnat_luigi.standin.zipping._LARGE", 1000)
    files = {"a": b"x" * 2000, "b": b"y" * 10, "c": b"z" * 3000}
    content = b"".join(zip_chunks(on_disk(str(tmp_path), files)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert struct.pack("<4s", b"PK\x06\x06") in content


def test_the_same_name_twice_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    with pytest.raises(Clash):
        list(zip_chunks([("a", path), ("a", path)]))


@settings(deadline=None)
@given(FILES, st.booleans())
def test_tars_hold_what_was_put_in(files: dict[str, bytes], packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = b"".join(tar_chunks(on_disk(folder, files), gzip=packed))
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz" if packed else "r:") as archive:
        found = {}
        for member in archive:
            source = archive.extractfile(member)
            assert source is not None
            found[member.name] = source.read()
    # tarfile takes slashes and dots at the end for those of a folder.
    assert [data for _, data in sorted(found.items())] == [
        data for _, data in sorted(files.items())
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("abc", min_size=1), st.binary(max_size=400)), min_size=1,
                max_size=5))  # fmt: skip
def test_forms_are_read_as_clients_write_them(parts: list[tuple[str, bytes]]) -> None:
    files = [(name, (f"{name}.bin", data)) for name, data in parts]
    sent = requests.Request("POST", "http://x/", files=files).prepare()
    body = sent.body
    assert isinstance(body, bytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body"
        path.write_bytes(body)
        found = [
            (part.name, part.filename, part.read())
            for part in read_parts(path, sent.headers["Content-Type"])
        ]
    assert found == [(name, f"{name}.bin", data) for name, data in parts]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_a_value_error(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body"
        path.write_bytes(body)
        try:
            read_parts(path, "multipart/form-data; boundary=x")
        except ValueError:
            return


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_ranges(total: int, first: int, last: int) -> None:
    cut = cut_range(f"bytes={first}-{last}", total)
    assert isinstance(cut, Cut)
    assert (cut.start, cut.length) == (first, max(last - first + 1, 0))  # not clamped (A 0.2)
    tail = cut_range(f"bytes={first}-", total)
    assert isinstance(tail, Cut)
    assert tail.length == max(total - first, 0)
    end = cut_range(f"bytes=-{last}", total)
    assert isinstance(end, Cut)
    assert end.start + end.length == total


WORDS = st.lists(st.sampled_from(["a", "b", "c", "x"]), min_size=1, max_size=5)


def _nothing(request: Request, state: State) -> Answer:
    return Answer()


@given(WORDS)
def test_the_longest_prefix_answers(words: list[str]) -> None:
    templates = ["/data/a", "/data/a/{V}", "/data/a/{V}/b", "/data/a/b/c", "/data/{W}/x"]
    router = Router([Route("GET", template, _nothing) for template in templates])
    found = router.match("/data/" + "/".join(words))

    def fits(template: str) -> int:
        parts = template.split("/")[2:]
        same = all(p == w or p.startswith("{") for p, w in zip(parts, words, strict=False))
        return len(parts) if same and len(parts) <= len(words) else 0

    best = max(fits(template) for template in templates)
    if best == 0:
        assert found is None
    else:
        assert found is not None
        assert found.remainder == "/".join(words[best:])


@given(st.lists(st.tuples(st.sampled_from("ab"), TEXT), max_size=5))
def test_parameters_keep_order_and_the_last_one_counts(pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    params = Params.parse(urlencode(pairs))
    assert params.pairs == pairs
    values = [value for name, value in pairs if name == "a"]
    assert params.raw("a") == (values[-1] if values else None)
    assert len(params.all("a")) == len(values)
