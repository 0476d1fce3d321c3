"""Downloads into folders that look like the server's (S-170 to S-177)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import uris
from ..exceptions import XNATUnsafeNameError
from ..rest.contents import list_files, list_session_files
from ..rest.records import File
from ..staging.save import make_folder
from ..transfer.layout import Origin, place
from ..transfer.zipped import fetch_folder, file_key

__all__ = [
    "download_project",
    "download_resource",
    "download_scan",
    "download_session",
    "download_subject",
]

_INSIDE = "{place}/resources/{resource}/files/{path}"
Progress = Callable[[str], None]


def _targets(
    files: Iterable[File], target: Path, top: str, types: dict[str, str], server: str
) -> list[tuple[File, Path]]:
    """Return where each file goes: TARGET/TOP/scans/ID-TYPE/resources/LABEL/files/PATH."""
    found = []
    for file in files:
        key = file_key(file)
        origin = Origin(
            server=server,
            project="",
            experiment_label=top,
            category=key.category,
            parent_id=key.parent,
            # The server makes `_` of whatever is no letter or digit in a type (A 6.7).
            parent_desc=re.sub(r"[^A-Za-z0-9_]", "_", types.get(key.parent, "")),
            resource_id=file.resource_id,
            resource_label=key.label,
        )
        found.append((file, target / place(origin, file.path, "{session}/" + _INSIDE)))
    return found


def download_session(session: Any, target: Path, verbose: bool) -> None:
    """Download all files of an experiment into TARGET/LABEL."""
    conn = session.xnat_session.connection
    scans = getattr(session, "scans", None)
    types = {} if scans is None else {one.id: str(one.type or "") for one in scans.listing}
    files = list_session_files(conn, session.id)
    wanted = _targets(files, target, session.label, types, conn.server)
    make_folder(target / session.label)
    address = uris.session_files(session.id)
    fetch_folder(conn, address, wanted, root=target, query={"all": "true"})
    if verbose:
        session.logger.info("Downloaded experiment to %s", target / session.label)


def download_subject(
    subject: Any, target: Path, verbose: bool, progress: Progress | None = None
) -> None:
    """Download all experiments of a subject into TARGET/LABEL."""
    folder = target / _folder_name(subject.label, subject.id)
    make_folder(folder)
    experiments = subject.experiments.listing
    for number, experiment in enumerate(experiments, 1):
        if progress is not None:
            progress(
                f"Downloading experiment {experiment.label} ({number} of {len(experiments)}) "
                f"of subject {subject.label}"
            )
        download_session(experiment, folder, verbose)
    if verbose:
        subject.logger.info("Downloaded subject to %s", folder)


def download_project(
    project: Any, target: Path, verbose: bool, progress: Progress | None = None
) -> None:
    """Download all experiments of all subjects of a project into TARGET/NAME."""
    folder = target / _folder_name(str(project.get("name") or project.id), project.id)
    make_folder(folder)
    subjects = project.subjects.listing
    for number, subject in enumerate(subjects, 1):
        if progress is not None:
            progress(f"Downloading subject {subject.label} ({number} of {len(subjects)})")
        download_subject(subject, folder, verbose, progress)
    if verbose:
        project.logger.info("Downloaded project to %s", folder)


def _folder_name(name: str, instead: str) -> str:
    """Return a name if it can be that of a folder, else the ID."""
    bad = name in ("", ".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", name) is not None
    return instead if bad or len(name.encode()) > 255 else name


def download_scan(scan: Any, target: Path, verbose: bool) -> None:
    """Download all files of a scan into TARGET/EXPERIMENT/scans/ID-TYPE/..."""
    conn = scan.xnat_session.connection
    files = list_files(conn, scan._address())
    types = {scan.id: str(scan.type or "")}
    wanted = _targets(files, target, scan.parent.label, types, conn.server)
    make_folder(target)
    fetch_folder(conn, uris.quote_listed(scan._listing_uri("files")), wanted, root=target)
    if verbose:
        scan.logger.info("Downloaded scan to %s", target / scan.parent.label)


def download_resource(resource: Any, target: Path, verbose: bool, flatten: bool) -> None:
    """Download all files of a resource into TARGET/TOP/.../resources/LABEL/files/...

    TOP is the experiment, subject or project that has it. With `flatten` all files lie right in
    the folder.
    """
    conn = resource.xnat_session.connection
    files = list_files(conn, resource._owner_address(), resource.id)
    if flatten:
        wanted = [(file, target / _flat(file.path)) for file in files]
    else:
        top, types = _top_of(resource)
        wanted = _targets(files, target, top, types, conn.server)
    make_folder(target)
    fetch_folder(conn, uris.quote_listed(resource._listing_uri("files")), wanted, root=target)
    if verbose:
        resource.logger.info("Downloaded resource to %s", target)


def _flat(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    if _folder_name(name, "") == "":
        raise XNATUnsafeNameError(f"{path[:120]!r} cannot be the name of a local file")
    return name


def _top_of(resource: Any) -> tuple[str, dict[str, str]]:
    """Return the label of the experiment, subject or project, and a scan's type by its ID."""
    owner = resource.parent
    kind = owner._address().kind
    if kind == "scan":
        return str(owner.parent.label), {owner.id: str(owner.type or "")}
    if kind in ("assessor", "reconstruction"):
        return str(owner.parent.label), {}
    return str(owner.id if kind == "project" else owner.label), {}
