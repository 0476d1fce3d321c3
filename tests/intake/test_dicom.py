"""Headers: what pydicom reads and whether a file is whole, against pydicom's own test files."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xnat_luigi.dicom import (
    FIELDS,
    NOT_DICOM,
    TRUNCATED,
    UNREADABLE,
    WHOLE,
    Header,
    NeedMore,
    read_head,
    read_header,
)

FOLDER = Path(str(pydicom.data.get_testdata_file("MR_small.dcm"))).parent
FILES = sorted(FOLDER.rglob("*.dcm"))
CUT = {"MR_truncated.dcm", "rtplan_truncated.dcm"}


def as_text(value: Any) -> str:
    if value is None:
        return ""
    parts = value if isinstance(value, list | MultiValue) else [value]
    return "\\".join(str(part) for part in parts)


def same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return [float(x) for x in one.split("\\")] == [float(x) for x in other.split("\\")]
    except ValueError:
        return False


def _class_name(dataset: pydicom.FileDataset) -> str:
    return UID(dataset.file_meta.get("MediaStorageSOPClassUID", "")).name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_values_are_those_pydicom_reads(path: Path) -> None:
    header = read_header(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
        except InvalidDicomError:
            assert header.state == NOT_DICOM
            return
        robbed = "PixelData" not in dataset and "Image Storage" in _class_name(dataset)
        short = path.name in CUT or robbed
        assert header.state == (TRUNCATED if short else WHOLE), header.detail
        for keyword in FIELDS:
            if keyword in dataset and header.whole:
                assert same(header.get(keyword), as_text(dataset.get(keyword))), keyword


def test_X_truncated_pixel_data_are_noticed() -> None:
    header = read_header(FOLDER / "MR_truncated.dcm")
    assert header.detail == "pixel data declare 8192 bytes, 8130 are there"
    assert header.pixel_bytes == 8192 and header.study_uid


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm"])
def test_X_a_file_cut_anywhere_is_never_whole(name: str, tmp_path: Path) -> None:
    """Uncompressed, compressed, deflated; lengths from nothing to all but a byte."""
    raw = (FOLDER / name).read_bytes()
    path = tmp_path / "cut.dcm"
    last = _end_of_content(raw, name)
    for size in {0, 1, 131, 132, 140, *range(200, last, max(1, last // 150)), last - 1}:
        path.write_bytes(raw[:size])
        assert read_header(path).state in (TRUNCATED, NOT_DICOM), size


def _end_of_content(raw: bytes, name: str) -> int:
    """Where the pixel data end: what follows (padding) is no part of the promise."""
    if name == "image_dfl.dcm":
        start = raw.index(b"\x02\x00\x16\x00AE")
        start += 8 + int.from_bytes(raw[start + 6 : start + 8], "little")
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(raw[start:])
        return len(raw) - len(inflater.unused_data)
    if name == "CT_small.dcm":
        return raw.index(b"\xe0\x7f\x10\x00OW") + 12 + 128 * 128 * 2
    return len(raw)


def test_X_a_cut_inside_a_sequence_is_noticed(tmp_path: Path) -> None:
    raw = (FOLDER / "rtplan.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(raw[: len(raw) - 40])
    assert read_header(path).state == TRUNCATED


def test_X_huge_private_elements_are_skipped_not_read(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FOLDER / "MR_small.dcm")
    dataset.add_new(0x00090010, "LO", "BIG")
    dataset.add_new(0x00091001, "OB", bytes(3_000_000))
    path = tmp_path / "huge.dcm"
    dataset.save_as(path)
    header = read_header(path)
    assert header.whole and header.get("SeriesInstanceUID") == dataset.SeriesInstanceUID
    path.write_bytes(path.read_bytes()[:2_000_000])
    assert "declares 3000000 bytes" in read_header(path).detail


@pytest.mark.parametrize("vr", [b"XX", b"\0\0", b"un", b"OX"])
def test_X_a_wrong_vr_ends_as_a_finding_not_a_crash(vr: bytes, tmp_path: Path) -> None:
    raw = bytearray((FOLDER / "MR_small.dcm").read_bytes())
    at = raw.index(b"\x08\x00\x70\x00LO") + 4
    raw[at : at + 2] = vr
    path = tmp_path / "wrong.dcm"
    path.write_bytes(raw)
    assert read_header(path).state in (WHOLE, TRUNCATED)


def test_X_deep_nesting_is_refused(tmp_path: Path) -> None:
    start = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    raw = (FOLDER / "MR_small.dcm").read_bytes()
    path = tmp_path / "deep.dcm"
    meta = raw[: raw.index(b"\x08\x00\x08\x00CS")]
    path.write_bytes(meta + (start + item) * 5000)
    assert "nested deeper" in read_header(path).detail


@given(st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_X_any_bytes_give_a_header_and_no_exception(noise: bytes) -> None:
    raw = bytes(128) + b"DICM" + noise
    header = read_head(raw, len(raw))
    assert header.state in (WHOLE, TRUNCATED)


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_X_overwritten_bytes_give_a_header_and_no_exception(at: int, noise: bytes) -> None:
    raw = bytearray((FOLDER / "MR_small.dcm").read_bytes())
    raw[at : at + len(noise)] = noise
    read_head(bytes(raw), len(raw))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    header = read_header(tmp_path / "absent.dcm")
    assert header.state == UNREADABLE and "No such file" in header.detail


def test_a_head_is_enough_when_it_holds_the_header() -> None:
    path = FOLDER / "CT_small.dcm"
    raw = path.read_bytes()
    whole = read_header(path)
    assert read_head(raw[:8000], len(raw)).values == whole.values
    with pytest.raises(NeedMore) as caught:
        read_head(raw[:1000], len(raw))
    assert 1000 < caught.value.upto <= len(raw)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_character_sets_and_further_fields(syntax: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FOLDER / "MR_small.dcm")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Müßiggänger^Åsa"
    dataset.ImageComments = "schön"
    dataset.add_new(0x0009100A, "LO", "private")
    dataset.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "text.dcm"
    pydicom.dcmwrite(
        path, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
    )
    header = read_header(path, fields=("ImageComments", "EchoTime", "0009100A"))
    assert header.get("PatientName") == "Müßiggänger^Åsa"
    assert header.get("ImageComments") == "schön"
    assert float(header.get("EchoTime")) == float(dataset.EchoTime)
    assert header.get("0009100A") == "private"


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="names no DICOM field"):
        read_header("x", fields=("EchoTme",))


def test_compressed_and_enhanced_are_told() -> None:
    assert read_header(FOLDER / "JPEG2000.dcm").compressed
    assert not read_header(FOLDER / "CT_small.dcm").compressed
    assert Header("x", 1, values={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1"}).enhanced


def test_encapsulated_pixel_data_without_their_end_are_truncated() -> None:
    raw = (FOLDER / "JPEG2000.dcm").read_bytes()
    cut = raw[: raw.rindex(b"\xfe\xff\xdd\xe0")]
    assert "without their delimiter" in read_head(cut, len(cut)).detail


def test_reading_touches_the_beginning_of_a_large_file_only(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FOLDER / "MR_small.dcm")
    buffer = io.BytesIO()
    dataset.PixelData = bytes(4 << 20)
    dataset.Rows = dataset.Columns = 1448
    dataset.save_as(buffer)
    raw = buffer.getvalue()
    assert read_head(raw[: 64 * 1024], len(raw)).whole
