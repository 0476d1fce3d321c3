"""XSD documents into drafts: what types there are and which fields they have, as written.

Names are those of the schemas, nothing is judged yet; `reader` makes records of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .. import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["XS", "Document", "Draft", "Field", "Key", "Simple", "read_document", "read_types"]

XS = "http://www.w3.org/2001/XMLSchema"
_XDAT_ELEMENT = "{http://nrg.wustl.edu/xdat}element"
_XS = "{" + XS + "}"
_ANNOTATION = _XS + "annotation"
_TOP = ("complexType", "simpleType", "element", "attribute", "group", "attributeGroup")
_FACETS = {
    "minInclusive": "min",
    "maxInclusive": "max",
    "minLength": "shortest",
    "maxLength": "longest",
}
_LOCALS: dict[object, str] = {
    _XS + word: word
    for word in (
        *_TOP,
        *_FACETS,
        "all",
        "annotation",
        "appinfo",
        "choice",
        "complexContent",
        "documentation",
        "enumeration",
        "extension",
        "restriction",
        "sequence",
        "simpleContent",
    )
}
DEEPEST = 100
"""levels of types inside types (groups that refer to themselves end there)"""


class Key(NamedTuple):
    """A name with its namespace."""

    namespace: str
    local: str


class Simple(NamedTuple):
    """A plain type: the `Key` it is made from, and its limits."""

    base: Key | None
    limits: dict[str, str | list[str]]


class Field:
    """An element or attribute of a type."""

    __slots__ = ("display", "doc", "limits", "many", "name", "part", "type")

    def __init__(self, name: str) -> None:
        self.name = name
        self.type: Key | None = None
        self.many = False
        self.limits: dict[str, str | list[str]] = {}
        self.doc = ""
        self.display = ""
        self.part: Draft | None = None


class Draft:
    """A complex type, with a name of its own or inside a field."""

    __slots__ = ("abstract", "base", "display", "doc", "fields", "local", "schema", "text")

    def __init__(self, local: str, schema: str) -> None:
        self.local = local
        self.schema = schema
        self.base: Key | None = None
        self.text = False
        """whether `base` is the type of a text (simple content)"""
        self.fields: dict[str, Field] = {}
        self.doc = ""
        self.display = ""
        self.abstract = False


@dataclass
class Document:
    """One parsed schema: its top-level declarations by kind and name."""

    name: str
    namespace: str
    prefixes: dict[str, str]
    root: Element
    scattered: bool
    """whether prefixes are declared below the root element too"""
    top: dict[str, dict[str, Element]] = field(default_factory=dict)


def read_document(name: str, content: bytes) -> Document:
    """Parse one schema.

    Parameters
    ----------
    name : str
        What the server calls it, for messages.
    content : bytes
        The document in any encoding that its XML declaration names.

    Raises
    ------
    XNATIntegrityError
        It is no well-formed XML without a DOCTYPE (fault row X1).
    """
    root = safexml.parse(content)
    prefixes = {prefix or "": uri for prefix, uri in root.nsmap.items()}
    document = Document(
        name=name,
        namespace=str(root.get("targetNamespace", "")),
        prefixes=prefixes,
        root=root,
        scattered=content.count(b"xmlns") > len(prefixes),
        top={kind: {} for kind in _TOP},
    )
    for child in root:
        kind = _local(child)
        called = child.get("name")
        if kind in document.top and called:
            document.top[kind].setdefault(str(called), child)
    return document


def read_types(
    document: Document, others: dict[str, list[Document]]
) -> tuple[dict[str, Draft], dict[str, Simple]]:
    """The complex and the plain types of a document.

    Parameters
    ----------
    document : Document
        The schema.
    others : dict
        All documents by namespace, for what a type refers to.
    """
    reader = _Reader(document, others)
    drafts = {
        local: reader.draft(local, element)
        for local, element in document.top["complexType"].items()
    }
    simple = {
        local: reader.simple(element) for local, element in document.top["simpleType"].items()
    }
    return drafts, simple


def _local(element: Element) -> str:
    """The name of an element of XML Schema, or nothing for one that says nothing to us."""
    return _LOCALS.get(element.tag, "")


def words(text: str | None) -> str:
    """A text on one line."""
    return " ".join(text.split()) if text else ""


class _Reader:
    """Reads the types of one document."""

    def __init__(self, document: Document, others: dict[str, list[Document]]) -> None:
        self.document = document
        self.others = others
        self.depth = 0

    def key(self, name: str, where: Element) -> Key:
        """The name with its namespace; one without prefix is in the default namespace or ours."""
        prefix, colon, local = name.rpartition(":")
        prefixes = self.document.prefixes
        if self.document.scattered:
            prefixes = {mark or "": uri for mark, uri in where.nsmap.items()}
        if colon:
            return Key(prefixes.get(prefix, prefix), local)
        return Key(prefixes.get("", self.document.namespace), local)

    def draft(self, local: str, element: Element) -> Draft:
        """A complex type."""
        draft = Draft(local, self.document.name)
        draft.abstract = element.get("abstract") == "true"
        self.depth += 1
        if self.depth <= DEEPEST:
            self.content(element, draft, many=False)
        self.depth -= 1
        return draft

    def content(self, element: Element, draft: Draft, many: bool) -> None:
        """What stands inside a type, however deep: fields, the base, notes."""
        for child in element:
            kind = _local(child)
            if kind == "element" or kind == "attribute":
                self.field(child, draft, many and kind == "element")
            elif kind in ("sequence", "choice", "all"):
                self.content(child, draft, many or _repeats(child))
            elif kind in ("complexContent", "simpleContent"):
                self.derived(child, draft, kind == "simpleContent")
            elif kind in ("group", "attributeGroup"):
                self.group(kind, child, draft, many or _repeats(child))
            elif kind == "annotation":
                draft.doc, draft.display, abstract = _notes(child)
                draft.abstract = draft.abstract or abstract

    def derived(self, element: Element, draft: Draft, text: bool) -> None:
        """The extension or restriction inside complexContent or simpleContent."""
        for child in element:
            if _local(child) in ("extension", "restriction"):
                base = child.get("base")
                if base:
                    draft.base = self.key(str(base), child)
                    draft.text = text
                self.content(child, draft, many=False)

    def group(self, kind: str, element: Element, draft: Draft, many: bool) -> None:
        """The fields of a named group that is referred to."""
        found = self.referred(kind, element)
        if found is None or self.depth >= DEEPEST:
            return
        reader, target = found
        reader.depth = self.depth + 1
        reader.content(target, draft, many)

    def referred(self, kind: str, element: Element) -> tuple[_Reader, Element] | None:
        """What `ref` points to, with a reader for the document it stands in."""
        ref = element.get("ref")
        if not ref:
            return None
        key = self.key(str(ref), element)
        for document in self.others.get(key.namespace, ()):
            target = document.top[kind].get(key.local)
            if target is not None:
                return _Reader(document, self.others), target
        return None

    def field(self, element: Element, draft: Draft, many: bool) -> None:
        """One element or attribute; the first of a name counts."""
        reader, target = self, element
        if element.get("ref"):
            found = self.referred(_local(element), element)
            if found is None or self.depth >= DEEPEST:
                return
            reader, target = found
            reader.depth = self.depth + 1
        name = target.get("name")
        if not name or element.get("use") == "prohibited" or element.get("maxOccurs") == "0":
            return
        new = Field(str(name))
        new.many = many or _repeats(element)
        reader.declared(target, new, draft)
        draft.fields.setdefault(new.name, new)

    def declared(self, element: Element, new: Field, owner: Draft) -> None:
        """The type and the notes of a field."""
        type_ = element.get("type")
        if type_:
            new.type = self.key(str(type_), element)
        for child in element:
            kind = _local(child)
            if kind == "annotation":
                new.doc, new.display, _ = _notes(child)
            elif kind == "complexType":
                new.part = self.draft(new.name, child)
            elif kind == "simpleType":
                new.type, new.limits = self.simple(child)

    def simple(self, element: Element) -> Simple:
        """A plain type; lists and unions of plain values are text."""
        for child in element:
            if _local(child) != "restriction":
                continue
            base = child.get("base")
            limits: dict[str, str | list[str]] = {}
            values: list[str] = []
            inner: Simple | None = None
            for facet in child:
                kind = _local(facet)
                if kind == "enumeration":
                    values.append(str(facet.get("value", "")))
                elif kind in _FACETS:
                    limits[_FACETS[kind]] = str(facet.get("value", ""))
                elif kind == "simpleType":
                    inner = self.simple(facet)
            if values:
                limits["enum"] = values
            if base:
                return Simple(self.key(str(base), child), limits)
            if inner is not None:
                return Simple(inner.base, {**inner.limits, **limits})
        return Simple(Key(XS, "string"), {})


def _repeats(element: Element) -> bool:
    most = element.get("maxOccurs")
    return most is not None and most not in ("0", "1")


def _notes(annotation: Element) -> tuple[str, str, bool]:
    """The documentation, the display identifier and whether the type is abstract."""
    doc = display = ""
    abstract = False
    for child in annotation:
        kind = _local(child)
        if kind == "documentation":
            doc = doc or words("".join(_texts(child)))
        elif kind == "appinfo":
            for note in child:
                if note.tag == _XDAT_ELEMENT:
                    display = str(note.get("displayIdentifiers") or display)
                    abstract = abstract or note.get("abstract") == "true"
    return doc, display, abstract


def _texts(element: Element) -> Iterator[str]:
    for text in element.itertext():
        yield str(text)
