"""Items as XML documents: attributes, elements and namespaces as the schemas say (A 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..types import declared, element_of, knows, namespaces

__all__ = ["document"]

XSI = "http://www.w3.org/2001/XMLSchema-instance"
# Keys of documents that no schema declares: they are the server's own.
_PLAIN_ATTRIBUTES = {"ID", "label", "project", "xsi:type"}


@dataclass(frozen=True)
class _Context:
    """Where a document stands in the schemas: a type, and the path below it."""

    xsi_type: str
    path: str = ""

    def below(self, name: str) -> _Context:
        return _Context(self.xsi_type, f"{self.path}/{name}" if self.path else name)

    def find(self, name: str) -> tuple[str, bool]:
        """(namespace prefix, is it an attribute) of a name here."""
        found = declared(self.xsi_type, self.below(name).path)
        if found is not None:
            return found
        return "xnat", name in _PLAIN_ATTRIBUTES


def document(entry: Mapping[str, Any], site: str) -> bytes:
    """The XML of an item given as its JSON; `site` is where its schemas can be fetched."""
    xsi_type = entry["meta"]["xsi:type"]
    known = namespaces()
    spaces = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for prefix, (uri, _) in known.items())
    places = " ".join(f"{uri} {site}/schemas/{path}" for uri, path in known.values())
    head = f'{spaces} xmlns:xsi="{XSI}" xsi:schemaLocation={quoteattr(places)}'
    body = _element(element_of(xsi_type), entry, _Context(xsi_type), head)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def _element(tag: str, entry: Mapping[str, Any], context: _Context, head: str = "") -> str:
    tree: dict[str, Any] = {}
    own = ""
    local = tag.partition(":")[2]
    for key, value in entry["data_fields"].items():
        if key.startswith("xnat_"):
            own += f"<!--hidden_fields[{key}={quoteattr(str(value))}]-->"
        elif key == local:  # an element with text and attributes: a custom variable, an alias
            own += escape(str(value))
        else:
            _plant(tree, key, value)
    text, attributes = _fields(tree, context)
    for child in entry["children"]:
        text += _children(child["field"], child["items"], context)
    return f"<{tag}{head}{attributes}>{own}{text}</{tag}>"


def _plant(tree: dict[str, Any], key: str, value: Any) -> None:
    """Puts a value into a tree of elements; the text of an element with children is under ""."""
    node = tree
    *above, last = key.split("/")
    for part in above:
        found = node.get(part)
        if not isinstance(found, dict):
            found = {} if found is None else {"": found}
            node[part] = found
        node = found
    node[last] = {**node[last], "": value} if isinstance(node.get(last), dict) else value


def _fields(tree: Mapping[str, Any], context: _Context) -> tuple[str, str]:
    text = attributes = ""
    for name, value in tree.items():
        prefix, is_attribute = context.find(name)
        if isinstance(value, dict):
            inner, more = _fields({k: v for k, v in value.items() if k}, context.below(name))
            own = escape(str(value.get("", "")))
            text += f"<{prefix}:{name}{more}>{own}{inner}</{prefix}:{name}>"
        elif is_attribute:
            attributes += f" {name}={quoteattr(str(value))}"
        else:
            text += f"<{prefix}:{name}>{escape(str(value))}</{prefix}:{name}>"
    return text, attributes


def _children(field: str, items: list[dict[str, Any]], context: _Context) -> str:
    *above, last = field.split("/")
    places = []
    for part in above:
        places.append((part, context.find(part)[0]))
        context = context.below(part)
    prefix = context.find(last)[0]
    inner = ""
    for one in items:
        xsi_type = one["meta"]["xsi:type"]
        if knows(xsi_type):
            head = f" xsi:type={quoteattr(xsi_type)}"
            inner += _element(f"{prefix}:{last}", one, _Context(xsi_type), head)
        else:  # a nameless type, such as that of custom variables: the schema has it in place
            inner += _element(f"{prefix}:{last}", one, context.below(last))
    for part, there in reversed(places):
        inner = f"<{there}:{part}>{inner}</{there}:{part}>"
    return inner
