"""Filling the stand-in from Python, without HTTP: what its `add_...` methods do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .changes import set_pairs
from .state import Item, State

__all__ = ["add_assessor", "add_project", "add_session", "add_subject"]

Files = Mapping[str, bytes | str | Path]

_SCAN_TYPES = {
    "xnat:mrSessionData": "xnat:mrScanData",
    "xnat:ctSessionData": "xnat:ctScanData",
    "xnat:petSessionData": "xnat:petScanData",
}


def _bytes(data: bytes | str | Path) -> bytes:
    if isinstance(data, Path):
        return data.read_bytes()
    return data.encode() if isinstance(data, str) else data


def _add_resources(state: State, item: Item, resources: Mapping[str, Files], **more: Any) -> None:
    for label, files in resources.items():
        state.resources.store_files(
            item, label, {name: _bytes(data) for name, data in files.items()}, **more
        )


def add_project(
    state: State,
    project: str,
    *,
    user: str = "admin",
    name: str = "",
    resources: Mapping[str, Files] | None = None,
    accessibility: str = "",
    **fields: Any,
) -> str:
    """A project, owned by `user`; returns its ID. One that is there already stays as it is."""
    item = state.items.by_id(project, "project")
    if item is None:
        item = Item(kind="project", id=project, xsi_type="xnat:projectData", project=project)
        set_pairs(item, {"name": name or project, "secondary_ID": project, **fields})
        state.items.add(item, user)
        state.users.set_role(project, user, "owner")
    if accessibility:
        state.rights.set_code(project, "accessibility", accessibility)
    _add_resources(state, item, resources or {}, user=user)
    return item.id


def add_subject(
    state: State,
    project: str,
    label: str,
    *,
    user: str = "admin",
    resources: Mapping[str, Files] | None = None,
    demographics: Mapping[str, Any] | None = None,
    **fields: Any,
) -> str:
    """A subject (its project is made where it is missing); returns its ID."""
    add_project(state, project, user=user)
    item = state.items.by_label(project, label, "subject")
    if item is None:
        above = state.items.by_id(project, "project")
        item = Item(
            kind="subject",
            id=state.items.new_id("subject", state.site_prefix()),
            label=label,
            xsi_type="xnat:subjectData",
            project=project,
            parent=above.pk if above else None,
        )
        set_pairs(item, fields)
        set_pairs(item, {f"demographics/{k}": v for k, v in (demographics or {}).items()})
        state.items.add(item, user)
    _add_resources(state, item, resources or {}, user=user)
    return item.id


def add_session(
    state: State,
    project: str,
    subject: str,
    label: str,
    *,
    user: str = "admin",
    xsi_type: str = "xnat:mrSessionData",
    scans: Mapping[str, Any] | None = None,
    resources: Mapping[str, Files] | None = None,
    custom: Mapping[str, str] | None = None,
    **fields: Any,
) -> str:
    """A session with scans; returns its ID.

    `scans` maps scan IDs to a type (`"T1"`), or to a mapping of fields in which `resources` are
    the files by resource label: `{"1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"..."}}}}`.
    """
    above = state.items.by_id(add_subject(state, project, subject, user=user), "subject")
    item = state.items.by_label(project, label, "experiment")
    if item is None:
        item = Item(
            kind="experiment",
            id=state.items.new_id("experiment", state.site_prefix()),
            label=label,
            xsi_type=xsi_type,
            project=project,
            parent=above.pk if above else None,
        )
        set_pairs(item, fields)
        set_pairs(item, {f"fields/field[name={k}]/field": v for k, v in (custom or {}).items()})
        state.items.add(item, user)
    for number, facts in (scans or {}).items():
        values = {"type": facts} if isinstance(facts, str) else dict(facts)
        _add_scan(state, item, str(number), values, user)
    _add_resources(state, item, resources or {}, user=user)
    return item.id


def _add_scan(state: State, session: Item, number: str, facts: dict[str, Any], user: str) -> None:
    files = facts.pop("resources", {})
    xsi_type = facts.pop("xsi_type", _SCAN_TYPES.get(session.xsi_type, "xnat:otherDicomScanData"))
    scan = state.items.scan(session, number)
    if scan is None:
        scan = Item(
            kind="scan", id=number, xsi_type=xsi_type, project=session.project, parent=session.pk
        )
        set_pairs(scan, {"quality": "usable", **facts})
        state.items.add(scan, user)
    for label, content in files.items():
        state.resources.store_files(
            scan,
            label,
            {name: _bytes(data) for name, data in content.items()},
            user=user,
            format="DICOM" if label == "DICOM" else "",
            content="RAW" if label == "DICOM" else "",
        )


def add_assessor(
    state: State,
    project: str,
    session: str,
    label: str,
    *,
    user: str = "admin",
    xsi_type: str = "xnat:qcAssessmentData",
    resources: Mapping[str, Files] | None = None,
    **fields: Any,
) -> str:
    """An assessor of a session (its label or ID) with `out` resources; returns its ID."""
    above = state.items.experiment(project, session)
    if above is None:
        raise ValueError(f"project {project} has no session {session}")
    item = state.items.by_label(project, label, "assessor")
    if item is None:
        item = Item(
            kind="assessor",
            id=state.items.new_id("assessor", state.site_prefix()),
            label=label,
            xsi_type=xsi_type,
            project=project,
            parent=above.pk,
        )
        set_pairs(item, fields)
        state.items.add(item, user)
    _add_resources(state, item, resources or {}, user=user, direction="out")
    return item.id
