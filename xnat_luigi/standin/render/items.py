"""Items as JSON and XML documents (wire contract A 4)."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from ..state import Item, Resource, State
from ..types import is_a
from ..wire import Answer, Refusal, Request
from .xml import document

__all__ = ["answer_item", "item_json"]


def _date(stamp: str) -> str:
    """A time as Java prints it."""
    try:
        moment = datetime.datetime.fromisoformat(stamp[:19])
    except ValueError:
        return stamp
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y")


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _meta(xsi_type: str, item: Item | None = None, history: bool = False) -> dict[str, Any]:
    meta: dict[str, Any] = {"xsi:type": xsi_type, "isHistory": history}
    if item is not None:
        meta["start_date"] = _date(item.inserted)
        if item.event:
            meta["create_event_id"] = item.event
    return meta


def _resource(state: State, resource: Resource) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "xnat_abstractresource_id": resource.pk,
        "label": resource.label,
        "URI": "/data/xnat/archive/" + resource.catalog_path.relative_to(state.archive).as_posix(),
        "file_count": resource.file_count,
        "file_size": resource.file_size,
        "format": resource.format or None,
        "content": resource.content or None,
        "description": resource.description or None,
    }
    children = []
    if resource.tags:
        children.append(
            {
                "field": "tags/tag",
                "items": [
                    {
                        "children": [],
                        "data_fields": {"tag": tag},
                        "meta": _meta("xnat:abstractResource_tag"),
                    }
                    for tag in resource.tags
                ],
            }
        )
    return {
        "children": children,
        "data_fields": {k: v for k, v in fields.items() if v is not None},
        "meta": {**_meta(resource.xsi_type), "start_date": _date(resource.inserted)},
    }


def _pk_name(item: Item) -> str:
    return {
        "project": "xnat_projectData_id",
        "scan": "xnat_imagescandata_id",
        "reconstruction": "xnat_reconstructedimagedata_id",
    }.get(item.kind, "")


def _own_fields(state: State, item: Item) -> dict[str, Any]:
    fields: dict[str, Any] = {"ID": item.id}
    if item.kind in ("subject", "experiment", "assessor"):
        fields.update(label=item.label, project=item.project)
    if item.kind == "experiment":
        subject = state.items.subject_of(item)
        if subject is not None:
            fields["subject_ID"] = subject.id
    if item.kind in ("assessor", "scan", "reconstruction"):
        session = state.items.by_pk(item.parent)
        if session is not None:
            name = "imageSession_ID" if item.kind == "assessor" else "image_session_ID"
            fields[name] = session.id
    if item.kind in ("scan", "reconstruction"):
        fields[_pk_name(item)] = item.pk
    fields.update(item.fields)
    return {k: _value(v) for k, v in fields.items() if v is not None}


_MEMBER_TYPES = {"demographics": "xnat:demographicData", "investigator": "xnat:investigatorData"}


def _member(item: Item, field: str, member: dict[str, Any]) -> dict[str, Any]:
    base = {
        "project": "xnat:projectData",
        "subject": "xnat:subjectData",
        "scan": "xnat:imageScanData",
    }.get(item.kind, "xnat:experimentData")
    last = field.rpartition("/")[2]
    xsi_type = member.get("xsi:type") or _MEMBER_TYPES.get(field) or f"{base}_{last}"
    fields = {k: _value(v) for k, v in member.items() if k != "xsi:type" and v is not None}
    return {"children": [], "data_fields": fields, "meta": _meta(xsi_type)}


def _children(state: State, item: Item) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for field, members in item.children.items():
        if members:
            found[field] = [_member(item, field, member) for member in members]
    shares = state.items.shares(item)
    if shares:
        base = "xnat:projectParticipant" if item.kind == "subject" else "xnat:experimentData_share"
        found["sharing/share"] = [
            {
                "children": [],
                "data_fields": {"project": project, **({"label": label} if label else {})},
                "meta": _meta(base),
            }
            for project, label in shares
        ]
    for direction, field in _resource_fields(item):
        resources = state.resources.of(item, direction)
        if resources:
            found[field] = [_resource(state, resource) for resource in resources]
    for kind, field in _item_fields(item):
        below = state.items.below(item, kind)
        if below:
            found.setdefault(field, []).extend(item_json(state, one) for one in below)
    return [{"field": field, "items": items} for field, items in found.items()]


def _resource_fields(item: Item) -> Iterable[tuple[str, str]]:
    if item.kind == "scan":
        return [("", "file")]
    if item.kind == "reconstruction":
        return [("in", "in/file"), ("out", "out/file")]
    if item.kind == "assessor":
        return [("", "resources/resource"), ("in", "in/file"), ("out", "out/file")]
    return [("", "resources/resource")]


def _item_fields(item: Item) -> Iterable[tuple[str, str]]:
    if item.kind == "subject":
        return [("experiment", "experiments/experiment")]
    if item.kind == "experiment" and is_a(item.xsi_type, "xnat:imageSessionData"):
        return [
            ("scan", "scans/scan"),
            ("assessor", "assessors/assessor"),
            ("reconstruction", "reconstructions/reconstructedImage"),
        ]
    return []


def item_json(state: State, item: Item) -> dict[str, Any]:
    """The JSON of an item with everything below it."""
    return {
        "children": _children(state, item),
        "data_fields": _own_fields(state, item),
        "meta": _meta(item.xsi_type, item),
    }


def answer_item(request: Request, state: State, item: Item) -> Answer:
    """The document in the format asked for: a page unless something else is said (A 0.2)."""
    if "handler" in request.query:
        raise Refusal(400, f"Unsupported response handler: {request.query.get('handler')}")
    kind = request.format
    if not kind:
        accepted = request.accepts("text/html", "text/xml", "application/xml")
        if not accepted:
            raise Refusal(406)
        kind = "html" if accepted == "text/html" else "xml"
    if kind in ("json", "application/json"):
        items = [item_json(state, item)]
        if request.query.flag("includeHistory"):
            for former in state.items.history(item):
                old = Item(**former["document"])
                entry = item_json(state, old)
                entry["children"] = []
                entry["meta"] = {
                    **_meta(old.xsi_type, old, history=True),
                    "end_date": _date(former["ended"]),
                }
                items.append(entry)
        text = json.dumps({"items": items}, separators=(",", ":"), ensure_ascii=False)
        return Answer(body=text.encode(), content_type="application/json", chunked=True)
    if kind in ("xml", "text/xml", "application/xml"):
        site = str(state.preferences["siteUrl"] or request.base)
        content = document(item_json(state, item), site)
        if request.query.flag("concealHiddenFields"):
            content = _HIDDEN.sub(b"", content)
        return Answer(body=content, content_type="text/xml", chunked=True)
    page = f"<!DOCTYPE html>\n<html><body><h1>{escape(item.label or item.id)}</h1></body></html>"
    return Answer(body=page.encode(), content_type="text/html", chunked=True)


_HIDDEN = re.compile(rb"<!--hidden_fields\[.*?\]-->")
