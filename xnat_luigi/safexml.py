"""The only XML parser of the package.

What a server sends is data: a DOCTYPE is refused, so there are no entities; nothing is ever
loaded from a file or the network; depth and size are bounded (fault row X1).
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from lxml import etree

from .exceptions import XNATIntegrityError

if TYPE_CHECKING:
    from lxml.etree import _Element

    Element = _Element

__all__ = ["LARGEST", "make", "parse", "serialize"]

LARGEST = 256 * 1024 * 1024
"""bytes of a document; a catalog of a million files is about as large"""

_PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_WIDE = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def parse(content: bytes, *, comments: bool = False, largest: int = LARGEST) -> Element:
    """Parse one document and return its root element (of lxml).

    Elements deeper than 256 levels are refused; XNAT's own documents stay below 40.

    Parameters
    ----------
    content : bytes
        The document; its encoding is taken from its XML declaration.
    comments : bool
        Keep comments (an item's XML has its hidden fields in them, wire contract A 4).
    largest : int
        Most bytes accepted.

    Raises
    ------
    XNATIntegrityError
        The document is empty, too large, too deep, not well-formed, or has a DOCTYPE.
    """
    if len(content) > largest:
        raise XNATIntegrityError(f"XML of {len(content)} bytes refused: {largest} is the limit")
    if not content.strip():
        raise XNATIntegrityError("XML expected, but the document is empty")
    if _has_doctype(content):
        raise XNATIntegrityError("XML with a DOCTYPE refused: XNAT sends none")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        remove_comments=not comments,
        remove_pis=True,
        recover=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise XNATIntegrityError(f"XML is not well-formed: {str(error)[:200]}") from None
    except LookupError as error:
        raise XNATIntegrityError(f"XML in an unknown encoding: {str(error)[:200]}") from None
    if root.getroottree().docinfo.doctype:
        # The look at the first bytes does not understand every encoding that libxml2 does.
        raise XNATIntegrityError("XML with a DOCTYPE refused: XNAT sends none")
    return root


def make(tag: str, nsmap: dict[str | None, str] | None = None, **attributes: str) -> Element:
    """A new element; `tag` in Clark's notation, `{namespace}name`."""
    return etree.Element(tag, attributes, nsmap)


def serialize(element: Element) -> bytes:
    """The document of this root element, as UTF-8 with an XML declaration."""
    text: bytes = etree.tostring(element, xml_declaration=True, encoding="UTF-8")
    return text


def _has_doctype(content: bytes) -> bool:
    """Whether a DOCTYPE stands before the root element."""
    for mark, encoding in _WIDE.items():
        if content.startswith(mark):
            try:
                content = content.decode(encoding).encode()
            except UnicodeDecodeError:
                return False  # the parser will name the fault
            break
    # Blanks, instructions and comments are all that may stand before it.
    position = _PROLOG.match(content).end()  # type: ignore[union-attr]
    return content[position : position + 9].upper() == b"<!DOCTYPE"
