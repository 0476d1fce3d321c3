"""What the schemas of the stand-in say about types: what derives from what, and which fields."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

from .schemas import schema_bytes, schema_names

__all__ = [
    "declared",
    "element_of",
    "field_type",
    "fields_of",
    "is_a",
    "knows",
    "known_types",
    "lineage",
    "namespaces",
]

XS = "{http://www.w3.org/2001/XMLSchema}"


@dataclass
class _Type:
    base: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)


@functools.lru_cache(maxsize=1)
def _model() -> tuple[dict[str, _Type], dict[str, str]]:
    types: dict[str, _Type] = {}
    elements: dict[str, str] = {}
    for name in schema_names():
        root = ElementTree.fromstring(schema_bytes(name) or b"")
        prefix = _prefix(schema_bytes(name) or b"", root.get("targetNamespace", ""))
        for child in root:
            if child.tag == XS + "complexType":
                found = types.setdefault(f"{prefix}:{child.get('name')}", _Type())
                _read(child, "", found)
            elif child.tag == XS + "element" and child.get("type"):
                elements.setdefault(child.get("type", ""), f"{prefix}:{child.get('name')}")
    return types, elements


def _prefix(content: bytes, namespace: str) -> str:
    for line in content.decode().splitlines():
        mark, _, rest = line.strip().partition("=")
        if mark.startswith("xmlns:") and rest.strip('">') == namespace:
            return mark.removeprefix("xmlns:")
    return ""


def _read(element: ElementTree.Element, path: str, into: _Type) -> None:
    for child in element:
        tag = child.tag.removeprefix(XS)
        if tag in ("extension", "restriction") and not path and child.get("base"):
            into.base = into.base or child.get("base", "")
        if tag in ("element", "attribute") and child.get("name"):
            here = f"{path}/{child.get('name')}" if path else child.get("name", "")
            into.fields[here] = child.get("type") or _simple(child)
            if tag == "attribute":
                into.attributes.add(here)
            _read(child, here, into)
        elif tag not in ("annotation", "simpleType"):
            _read(child, path, into)


def _simple(element: ElementTree.Element) -> str:
    found = element.find(f"{XS}simpleType/{XS}restriction")
    if found is None:
        found = element.find(f"{XS}complexType/{XS}simpleContent/{XS}extension")
    return found.get("base", "xs:string") if found is not None else ""


@functools.lru_cache(maxsize=1024)
def lineage(xsi_type: str) -> tuple[str, ...]:
    """A type and everything it derives from, itself first; a type nobody knows is alone."""
    types, _ = _model()
    found = [xsi_type]
    while (known := types.get(found[-1])) and known.base and known.base not in found:
        found.append(known.base)
    return tuple(found)


def is_a(xsi_type: str, base: str) -> bool:
    """Whether a type is another one or derives from it; case does not matter."""
    wanted = base.lower()
    return any(one.lower() == wanted for one in lineage(xsi_type))


def knows(xsi_type: str) -> bool:
    """Whether the schemas describe the type."""
    return xsi_type in _model()[0]


def known_types() -> list[str]:
    """All complex types."""
    return list(_model()[0])


def element_of(xsi_type: str) -> str:
    """The root element of a type, or the type itself."""
    return _model()[1].get(xsi_type, xsi_type)


@functools.lru_cache(maxsize=1024)
def fields_of(xsi_type: str) -> dict[str, str]:
    """The fields of a type and its bases: path to type; nameless parts are followed."""
    types, _ = _model()
    found: dict[str, str] = {}
    for one in reversed(lineage(xsi_type)):
        found.update(types[one].fields if one in types else {})
    return found


@functools.lru_cache(maxsize=4096)
def declared(xsi_type: str, path: str) -> tuple[str, bool] | None:
    """(namespace prefix, whether it is an attribute) of a field where a type itself declares it."""
    types, _ = _model()
    lower = path.lower()
    for one in lineage(xsi_type):
        found = types.get(one)
        for name in found.fields if found is not None else ():
            if name.lower() == lower and found is not None:
                return one.partition(":")[0], name in found.attributes
    return None


@functools.lru_cache(maxsize=1)
def namespaces() -> dict[str, tuple[str, str]]:
    """Prefix to (namespace, path of its schema below `/schemas/`) of every data schema."""
    found: dict[str, tuple[str, str]] = {}
    for name in schema_names():
        content = schema_bytes(name) or b""
        space = ElementTree.fromstring(content).get("targetNamespace", "")
        prefix = _prefix(content, space)
        if prefix and space:
            path = f"{name}.xsd" if "/" in name else f"{name}/{name}.xsd"
            found.setdefault(prefix, (space, path))
    return found


@functools.lru_cache(maxsize=4096)
def field_type(xsi_type: str, path: str) -> str | None:
    """The type of a field, whatever the case of its path; None where there is no such field."""
    lower = path.lower()
    for name, kind in fields_of(xsi_type).items():
        if name.lower() == lower:
            return kind
    # Through fields of named types: investigator/firstname, file/label.
    head, _, rest = path.rpartition("/")
    while head:
        kind = next((k for n, k in fields_of(xsi_type).items() if n.lower() == head.lower()), "")
        if kind and not kind.startswith("xs:"):
            return field_type(kind, rest)
        head, _, more = head.rpartition("/")
        rest = f"{more}/{rest}"
    return None
