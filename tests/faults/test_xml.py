"""The XML parser: what a server sends is data (fault row X1)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi import safexml
from xnat_luigi.exceptions import XNATIntegrityError

BOMB = "<!DOCTYPE a [<!ENTITY b0 'x'>{}]><a>&b9;</a>".format(
    "".join(f"<!ENTITY b{n} '{f'&b{n - 1};' * 10}'>" for n in range(1, 10))
)
DOCTYPES = [
    "<!DOCTYPE a><a/>",
    "<!doctype a><a/>",
    BOMB,
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]><a/>',
    '<?xml version="1.0"?>\n<!-- note --><?pi x?>\n<!DOCTYPE a><a/>',
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", DOCTYPES)
def test_X1_a_doctype_is_refused_within_a_second(text: str, encoding: str) -> None:
    begin = time.monotonic()
    with pytest.raises(XNATIntegrityError):
        safexml.parse(text.encode(encoding))
    assert time.monotonic() - begin < 1


def test_X1_deep_xml_is_refused_within_a_second() -> None:
    begin = time.monotonic()
    with pytest.raises(XNATIntegrityError, match="not well-formed"):
        safexml.parse(b"<a>" * 100_000 + b"</a>" * 100_000)
    assert time.monotonic() - begin < 1


def test_X1_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(XNATIntegrityError, match="limit"):
        safexml.parse(b"<a>" + b"x" * 1000 + b"</a>", largest=100)


@pytest.mark.parametrize("bad", [b"", b"  \n", b"<a>", b"text", b"<a/><b/>", b"\x00", b"{}"])
def test_what_is_no_document_is_an_error(bad: bytes) -> None:
    with pytest.raises(XNATIntegrityError):
        safexml.parse(bad)


def test_X1_an_unknown_entity_is_an_error() -> None:
    with pytest.raises(XNATIntegrityError):
        safexml.parse(b"<a>&nbsp;</a>")


def test_X1_no_file_is_read_by_an_inclusion() -> None:
    document = (
        b'<a xmlns:xi="http://www.w3.org/2001/XInclude">'
        b'<xi:include href="file:///etc/passwd" parse="text"/></a>'
    )
    root = safexml.parse(document)
    assert root.xpath("string()") == ""
    assert len(root) == 1


def test_X3_an_encoding_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(XNATIntegrityError):
        safexml.parse(b'<?xml version="1.0" encoding="klingon"?><a/>')


def test_the_declared_encoding_counts() -> None:
    root = safexml.parse('<?xml version="1.0" encoding="windows-1252"?><a>ä“</a>'.encode("cp1252"))
    assert root.text == "ä“"


def test_comments_are_kept_on_demand() -> None:
    document = b"<a><!--hidden_fields[x=1]--><b/></a>"
    assert len(safexml.parse(document)) == 1
    assert len(safexml.parse(document, comments=True)) == 2


def test_a_document_made_here_is_read_again() -> None:
    root = safexml.make("{urn:x}a", {"x": "urn:x"}, b="ä&<")
    again = safexml.parse(safexml.serialize(root))
    assert again.tag == "{urn:x}a"
    assert again.get("b") == "ä&<"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        safexml.parse(content)
    except XNATIntegrityError as error:
        assert len(str(error)) < 400
