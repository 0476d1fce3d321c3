"""Putting projects, subjects and sessions straight into the state, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .state import Item, State

__all__ = ["add_assessor", "add_project", "add_session", "add_subject"]

Files = Mapping[str, Mapping[str, bytes | Path]]


def add_project(
    state: State,
    project: str,
    *,
    name: str = "",
    secondary_id: str = "",
    description: str = "",
    accessibility: str = "private",
    user: str = "admin",
    resources: Files | None = None,
    **fields: Any,
) -> str:
    """A project; its owner is `user`. `resources` maps labels to `{path: bytes}`."""
    values = {"name": name or project, "secondary_ID": secondary_id or project, **fields}
    if description:
        values["description"] = description
    item = state.items.add(
        Item("project", project, "xnat:projectData", label=project, project=project, fields=values),
        user,
    )
    state.rights.set_code(project, "accessibility", accessibility)
    if state.users.get(user) is not None:
        state.users.set_role(project, user, "owner")
    _add_resources(state, item, resources, user)
    return project


def add_subject(
    state: State,
    project: str,
    label: str,
    *,
    user: str = "admin",
    fields: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    resources: Files | None = None,
) -> str:
    """A subject; returns its ID. `variables` are custom variables."""
    item = Item(
        "subject",
        state.items.new_id("subject", state.site_prefix()),
        "xnat:subjectData",
        label=label,
        project=project,
        parent=None,
        fields=dict(fields or {}),
        children=_variables("subject", variables),
    )
    _above(state, project)
    state.items.add(item, user)
    _add_resources(state, item, resources, user)
    return item.id


def add_session(
    state: State,
    project: str,
    subject: str,
    label: str,
    *,
    xsi_type: str = "xnat:mrSessionData",
    user: str = "admin",
    fields: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    scans: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Files | None = None,
) -> str:
    """A session with scans and files; returns its ID.

    Parameters:
        subject: label (made if it does not exist) or ID.
        scans: scan ID -> `{"type": "T1", "quality": "usable", "xsi_type": "xnat:mrScanData",
            "fields": {...}, "resources": {"DICOM": {"1.dcm": b"..."}}}`; other keys are fields.
        resources: label -> `{path: bytes or a file to move in}`.
    """
    _above(state, project)
    above = state.items.subject(project, subject)
    if above is None:
        add_subject(state, project, subject, user=user)
        above = state.items.subject(project, subject)
    assert above is not None
    item = Item(
        "experiment",
        state.items.new_id("experiment", state.site_prefix()),
        xsi_type,
        label=label,
        project=project,
        parent=above.pk,
        fields=dict(fields or {}),
        children=_variables("experiment", variables),
    )
    state.items.add(item, user)
    for scan_id, facts in (scans or {}).items():
        _add_scan(state, item, scan_id, dict(facts), user)
    _add_resources(state, item, resources, user)
    return item.id


def _add_scan(state: State, session: Item, scan_id: str, facts: dict[str, Any], user: str) -> None:
    default = session.xsi_type.replace("SessionData", "ScanData")
    resources = facts.pop("resources", None)
    xsi_type = facts.pop("xsi_type", default if default != session.xsi_type else "xnat:mrScanData")
    fields = {"quality": "usable", **facts.pop("fields", {}), **facts}
    scan = Item(
        "scan", scan_id, xsi_type, project=session.project, parent=session.pk, fields=fields
    )
    state.items.add(scan, user)
    _add_resources(state, scan, resources, user, content="RAW")


def add_assessor(
    state: State,
    project: str,
    session: str,
    label: str,
    *,
    xsi_type: str = "xnat:qcManualAssessorData",
    user: str = "admin",
    fields: Mapping[str, Any] | None = None,
    resources: Files | None = None,
) -> str:
    """An assessor of a session (label or ID) with `out` resources; returns its ID."""
    above = state.items.experiment(project, session)
    if above is None:
        raise ValueError(f"project {project} has no session {session}")
    item = Item(
        "assessor",
        state.items.new_id("experiment", state.site_prefix()),
        xsi_type,
        label=label,
        project=project,
        parent=above.pk,
        fields=dict(fields or {}),
    )
    state.items.add(item, user)
    _add_resources(state, item, resources, user, direction="out")
    return item.id


def _above(state: State, project: str) -> None:
    if state.items.project(project) is None:
        raise ValueError(f"there is no project {project}; add_project() first")


def _variables(kind: str, variables: Mapping[str, str] | None) -> dict[str, list[dict[str, Any]]]:
    if not variables:
        return {}
    xsi_type = f"xnat:{kind}Data_field"
    return {
        "fields/field": [
            {"xsi:type": xsi_type, "name": name, "field": value}
            for name, value in variables.items()
        ]
    }


def _add_resources(
    state: State,
    item: Item,
    resources: Files | None,
    user: str,
    *,
    direction: str = "",
    content: str = "",
) -> None:
    for label, files in (resources or {}).items():
        state.resources.store_files(
            item,
            label,
            dict(files),
            direction=direction,
            user=user,
            format="DICOM" if label == "DICOM" else "",
            content=content,
        )
