"""What a write asks for: parameters, a form, or an XML document (wire contract A 5.2)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass, field

from .columns import SHORTCUTS
from .state import State
from .types import element_of, known_types
from .wire import Refusal, Request, escape_param

__all__ = ["Asked", "justify", "read_asked"]

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_IDENTITY = {"id": "ID", "label": "label", "project": "project"}
# What hangs below an item but is an item or a resource itself: not a field of it.
_ITEMS = ("scans", "assessors", "reconstructions", "resources", "file", "sharing", "experiments",
          "in", "out")  # fmt: skip
_NO_FIELDS = {
    "xsiType", "format", "req_format", "inbody", "allowDataDeletion", "event_reason", "event_type",
    "event_action", "event_comment", "event_id", "XNAT_CSRF", "activate", "quarantine",
    "removeFiles", "primary", "triggerPipelines", "accessibility", "method", "label",
}  # fmt: skip


@dataclass
class Asked:
    """Type, fields and identity that a write names.

    `fields` are (path, value) pairs, a path with its type in front where it was given so.
    `identity` holds ID, label and project where a document or a path names them. `scans` are those
    of a session's document. `replace`: the document stands for the whole item.
    """

    xsi_type: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    identity: dict[str, str] = field(default_factory=dict)
    scans: list[Asked] = field(default_factory=list)
    from_document: bool = False
    replace: bool = False


def read_asked(request: Request, kind: str, default: str = "") -> Asked:
    """Everything that a write to an item of this kind asks for; parameters beat the document.

    Raises: `Refusal` 422 for XML that cannot be read.
    """
    asked = Asked()
    document = _document(request)
    if document is not None:
        asked = _from_element(document)
        asked.replace = request.query.raw("allowDataDeletion") == "true"
    given = request.query.raw("xsiType")
    pairs = _pairs(request)
    asked.xsi_type = given or _type_of(pairs) or asked.xsi_type or default
    for key, value in pairs:
        path = key if _is_path(key) else SHORTCUTS.get(kind, {}).get(key, "")
        name = _IDENTITY.get(path.rpartition("/")[2].lower(), "") if path.count("/") < 2 else ""
        if name and (_is_path(key) or "/" not in path):
            asked.identity[name] = escape_param(value)
        elif path:
            asked.fields.append((path, escape_param(value)))
    return asked


def _is_path(key: str) -> bool:
    return ":" in key.partition("/")[0] and "/" in key


def _type_of(pairs: Iterable[tuple[str, str]]) -> str:
    """The type that the first full path begins with."""
    return next((key.partition("/")[0] for key, _ in pairs if _is_path(key)), "")


def _pairs(request: Request) -> list[tuple[str, str]]:
    pairs = [(k, v) for k, v in request.query.pairs if k not in _NO_FIELDS]
    wanted = request.query.raw("req_format")
    if wanted == "form" or (
        wanted != "qs" and request.body.media_type == "application/x-www-form-urlencoded"
    ):
        return [(k, v) for k, v in request.form().pairs if k not in _NO_FIELDS] + pairs
    return pairs


# Documents ---------------------------------------------------------------------------------------


def _document(request: Request) -> ElementTree.Element | None:
    wanted = request.query.raw("req_format")
    if wanted in ("qs", "form") or not request.body.size:
        return None
    if request.is_multipart:
        found = (p for p in request.parts() if (p.filename or "").lower().endswith(".xml"))
        part = next(found, None)
        return None if part is None else _parse(part.read())
    xml = request.body.media_type in ("text/xml", "application/xml")
    if xml or wanted == "xml" or request.query.flag("inbody"):
        return _parse(request.body.read())
    return None


def _parse(content: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise Refusal(422, f"The XML document cannot be read: {error}") from None


def _from_element(element: ElementTree.Element) -> Asked:
    asked = Asked(xsi_type=_element_type(element), from_document=True)
    for name, value in element.attrib.items():
        known = _IDENTITY.get(name.lower())
        if known:
            asked.identity[known] = value
    _flatten(element, "", asked.fields)
    for scan in element.findall("{*}scans/{*}scan"):
        asked.scans.append(_from_element(scan))
    return asked


def _element_type(element: ElementTree.Element) -> str:
    named = element.get(XSI_TYPE)
    if named:
        return named
    local = element.tag.rpartition("}")[2]
    return next((n for n in known_types() if element_of(n).rpartition(":")[2] == local), "")


def _flatten(element: ElementTree.Element, path: str, found: list[tuple[str, str]]) -> None:
    for name, value in element.attrib.items():
        if not name.startswith("{") and (path or name.lower() not in _IDENTITY):
            found.append((f"{path}{name}", value))
    for child in element:
        name = child.tag.rpartition("}")[2]
        if not path and name in _ITEMS:
            continue
        if name == "field" and child.get("name"):
            found.append((f"{path}field[name={child.get('name')}]/field", child.text or ""))
            continue
        if child.text and child.text.strip():
            found.append((f"{path}{name}", child.text.strip()))
        _flatten(child, f"{path}{name}/", found)


# Justification -----------------------------------------------------------------------------------


def justify(request: Request, state: State, status: int, *, text: bool = True) -> None:
    """Refuses a write without the reason or the event name that the site wants (A 5.2, "Audit").

    Raises: `Refusal` with `status`; without `text` it says nothing.
    """
    wanted = state.preferences
    reason = wanted["requireChangeJustification"] and wanted["showChangeJustification"]
    if reason and not request.query.raw("event_reason"):
        raise Refusal(status, "Justification required." if text else None)
    if wanted["requireEventName"] and not request.query.raw("event_action"):
        raise Refusal(status, "Event name required." if text else None)
