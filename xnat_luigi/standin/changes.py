"""Writing fields into items, renaming and removing them (wire contract A 5)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from .documents import Asked
from .state import Item, State
from .types import field_type, is_a
from .wire import Refusal

__all__ = [
    "LABEL",
    "apply_asked",
    "apply_fields",
    "remove_item",
    "rename",
    "set_pairs",
]

LABEL = re.compile(r"[A-Za-z0-9_-]+")
_OWN = {"id", "label", "project", "xsitype"}
_STEP = re.compile(r"([^/\[]+)(?:\[([^\]]*)\])?(?:/|$)")
_NUMBERS = {"integer": int, "int": int, "long": int, "float": float, "double": float}


def apply_asked(item: Item, asked: Asked) -> bool:
    """Puts everything asked for into an item (not yet saved); whether anything changed.

    Raises: `Refusal` 400 for another ID, label or project, and for values of a wrong kind.
    """
    _same_identity(item, asked)
    if not asked.replace:
        return apply_fields(item, asked.fields)
    before = (dict(item.fields), {k: [dict(m) for m in v] for k, v in item.children.items()})
    item.fields.clear()
    item.children.clear()
    apply_fields(item, asked.fields)
    return before != (item.fields, item.children)


def _same_identity(item: Item, asked: Asked) -> None:
    known = asked.identity
    if item.kind in ("subject", "experiment", "assessor") and item.pk:
        if known.get("project", item.project) != item.project:
            raise Refusal(400, "Project must be modified through separate URI.")
        if known.get("label", item.label) != item.label:
            raise Refusal(400, "Label must be modified through separate URI.")
    if known.get("ID", item.id) != item.id:
        raise Refusal(400, "ID cannot be modified")


def apply_fields(item: Item, pairs: Iterable[tuple[str, str]]) -> bool:
    """Puts values into an item (not yet saved); whether anything changed.

    A path of another type, or one that the type does not have, is ignored without a word (A 5.2).

    Raises: `Refusal` 400 for a value that its type does not allow.
    """
    before = (dict(item.fields), {k: [dict(m) for m in v] for k, v in item.children.items()})
    for path, value in pairs:
        if ":" in path.partition("/")[0]:
            xsi_type, _, path = path.partition("/")
            if not is_a(item.xsi_type, xsi_type):
                continue
        _put(item, path, value)
    return before != (item.fields, item.children)


def set_pairs(item: Item, values: dict[str, Any]) -> None:
    """Fields from Python values, as the filling functions take them."""
    for name, value in values.items():
        if value is not None:
            _put(item, name, str(value))


def _put(item: Item, path: str, value: str) -> None:
    steps = _STEP.findall(path)
    plain = "/".join(name for name, _ in steps)
    if plain.lower() in _OWN:
        return
    kind = field_type(item.xsi_type, plain)
    head = steps[0][0]
    if head in ("demographics", "investigator", "PI", "validation", "metadata"):
        _put_member(item, head, "/".join(name for name, _ in steps[1:]), value)
        return
    for end in range(len(steps)):
        name, predicate = steps[end]
        collection = "/".join(part for part, _ in steps[: end + 1])
        if predicate or collection in ("fields/field", "aliases/alias"):
            if field_type(item.xsi_type, collection) is None:
                return  # a list that the type does not have
            rest = "/".join(part for part, _ in steps[end + 1 :]) or name
            _put_collected(item, collection, predicate, rest, value)
            return
    if kind is None:
        return
    name = _spelling(item.xsi_type, plain)
    if value == "NULL":
        item.fields.pop(name, None)
    else:
        item.fields[name] = _typed(kind, name, value)


def _spelling(xsi_type: str, path: str) -> str:
    from .types import fields_of

    lower = path.lower()
    return next((name for name in fields_of(xsi_type) if name.lower() == lower), path)


def _put_member(item: Item, head: str, rest: str, value: str) -> None:
    xsi_type = {
        "demographics": "xnat:demographicData",
        "validation": "xnat:validationData",
        "metadata": "xnat:subjectMetadata",
    }.get(head, "xnat:investigatorData")
    kind = field_type(xsi_type, rest)
    if kind is None:
        return
    members = item.children.setdefault(head, [])
    if not members:
        members.append({"xsi:type": xsi_type})
    name = _spelling(xsi_type, rest)
    if value == "NULL":
        members[0].pop(name, None)
    else:
        members[0][name] = _typed(kind, name, value)


def _put_collected(item: Item, collection: str, predicate: str, rest: str, value: str) -> None:
    members = item.children.setdefault(collection, [])
    name, _, wanted = predicate.partition("=")
    member: dict[str, Any] | None = None
    if predicate.isdigit():
        place = int(predicate) - 1
        member = members[place] if place < len(members) else None
    elif wanted:
        wanted = wanted.strip("'\"")
        member = next((m for m in members if str(m.get(name)) == wanted), None)
    if value == "NULL":
        if member is not None:
            member.pop(rest, None)
            if set(member) <= {name}:
                members.remove(member)
        return
    if member is None:
        member = {name: wanted} if wanted else {}
        members.append(member)
    member[rest] = value


_LONG = ("note", "notes", "description", "comments", "comment", "field", "keywords")


def _typed(kind: str, name: str, value: str) -> Any:
    """A value as the schema wants it; 400 for what is none (A 5.5)."""
    local = kind.removeprefix("xs:")
    try:
        if local in _NUMBERS:
            return _NUMBERS[local](value)
        if local == "date":
            datetime.date.fromisoformat(value)
        elif local == "boolean":
            if value.lower() not in ("true", "false", "1", "0"):
                raise ValueError(value)
            return value.lower() in ("true", "1")
        elif len(value) > 255 and name.rpartition("/")[2] not in _LONG:
            raise ValueError(value)
    except ValueError:
        raise Refusal(400, f"Invalid value for {name}: {value}") from None
    return value


# Renaming and removing ---------------------------------------------------------------------------


def rename(state: State, item: Item, label: str, user: str) -> None:
    """Gives an item a new label and moves its folder (A 5.4)."""
    if label == item.label:
        return
    if not LABEL.fullmatch(label):
        raise Refusal(500)
    kinds = ("subject",) if item.kind == "subject" else ("experiment", "assessor")
    if state.items.by_label(item.project, label, *kinds) is not None:
        raise Refusal(409, "Specified label is already in use.")
    move(state, item, user, label=label)


def move(state: State, item: Item, user: str, **changes: Any) -> None:
    """Changes label, project or parent of an item and takes its files along.

    Raises: `Refusal` 409 when something lies where the files would go.
    """
    before = state.resources.item_folder(item)
    for name, value in changes.items():
        setattr(item, name, value)
    if "project" in changes and item.kind == "experiment":
        item.arc = state.items.current_arc(item.project)
    after = state.resources.item_folder(item)
    if before != after and after.exists():
        raise Refusal(409, "File system destination contains pre-existing files")
    tree = _tree(state, item)
    with state.store.writing():
        state.items.save(item, user)
        for below in tree:
            if "project" in changes and below.pk != item.pk:
                below.project = item.project
                state.items.save(below, user)
        for resource in [r for one in tree for r in state.resources.of(one, None)]:
            if before != after and resource.folder.is_relative_to(before):
                resource.folder = after / resource.folder.relative_to(before)
                state.resources.save(resource)
        if before != after:
            state.resources.plan_move(before, after)
    state.resources.finish_moves()


def _tree(state: State, item: Item) -> list[Item]:
    kinds = ("subject", "experiment", "assessor", "scan", "reconstruction")
    found = [item]
    for one in found:
        found += state.items.below(one, *kinds)
    return found


def remove_item(state: State, item: Item, files: bool) -> None:
    """Deletes an item with everything below it; its files only when asked for (A 5.6)."""
    folders = [
        state.resources.item_folder(one)
        for one in _tree(state, item)
        if one.kind in ("experiment", "subject") or one.pk == item.pk
    ]
    state.items.remove(item)
    if files or item.kind == "project":
        for one in folders:
            state.resources.discard(one)
