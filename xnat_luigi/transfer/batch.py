"""Many sessions into a folder, chosen by patterns: one request for each session's files.

Unlike a sync nothing is remembered: what lies in the folder already is compared by size and MD5
and not downloaded again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import (
    XNATAuthError,
    XNATConnectionError,
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATUnsafeNameError,
)
from ..rest.contents import list_resources, list_session_files
from ..rest.listings import list_experiments, list_projects, list_scans
from ..rest.records import Experiment, File, Resource
from ..staging.manifest import hash_file
from ..staging.sweep import sweep
from .layout import Origin, place
from .select import Selection, fits
from .trash import put_aside
from .zipped import fetch_folder

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Batch", "download_all", "download_selected"]

log = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass
class Batch:
    """What a download did. `kept` files lay there and were equal, `unverified` ones have no MD5 on
    the server and were compared by size, `displaced` were in the way, other than the server's, and
    are in the folder's trash, `failed` are places and reasons."""

    sessions: int = 0
    files: int = 0
    bytes: int = 0
    kept: int = 0
    unverified: int = 0
    displaced: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def download_selected(
    conn: Connection,
    root: Path,
    projects: Sequence[str],
    selection: Selection | None = None,
    *,
    layout: str = "documented",
    progress: Progress | None = None,
) -> Batch:
    """Download what fits into a folder; every file is compared with the server's listing.

    Parameters
    ----------
    root : Path
        The folder; made when missing.
    projects : sequence of str
        IDs, globs (`P*`) or regular expressions (`re:P\\d+`) of projects.
    selection : Selection, optional
        Which sessions, subjects, scans and resources of them.
    layout : str
        How files lie, see `transfer.layout.place`.
    progress : callable, optional
        Called with a text for every session.

    Raises
    ------
    XNATNotFoundError
        No project fits.
    XNATConnectionError, XNATAuthError
        The server does not answer any more, or does not take the login. Start again later: what is
        there stays.
    """
    chosen = selection or Selection()
    done = Batch()
    for part in sweep(root):
        log.info("removed %s, left by a run that was killed", part)
    taken: dict[Path, str] = {}
    for project in _projects(conn, projects):
        for session in list_experiments(conn, project):
            if not chosen.takes_session(session):
                continue
            name = f"{project}/{session.subject_label}/{session.label}"
            if progress is not None:
                progress(name)
            try:
                _download(conn, root, project, session, chosen, layout, done, taken)
            except (XNATConnectionError, XNATAuthError):
                raise
            except XNATError as error:
                log.error("%s: %s", name, error)
                done.failed.append((name, str(error)))
    return done


def download_all(
    conn: Connection,
    root: str | os.PathLike[str],
    patterns: Mapping[str, str | None],
    layout: str = "documented",
) -> Batch:
    """Download what fits, see `download_selected`, and raise at the end if something failed.

    Parameters
    ----------
    patterns : mapping
        `project`, `subject`, `experiment`, `scan`, `resource`; None means all.

    Raises
    ------
    XNATIntegrityError
        Some sessions could not be downloaded; all others were.
    """

    def given(name: str) -> tuple[str, ...]:
        pattern = patterns.get(name)
        return () if pattern is None else (pattern,)

    selection = Selection(
        subjects=given("subject"),
        sessions=given("experiment"),
        scans=given("scan"),
        resources=given("resource"),
    )
    projects = given("project") or ("*",)
    done = download_selected(conn, Path(root), projects, selection, layout=layout)
    if done.failed:
        shown = "; ".join(f"{place}: {reason[:200]}" for place, reason in done.failed[:5])
        raise XNATIntegrityError(
            f"{len(done.failed)} of {done.sessions} sessions could not be downloaded: {shown}"
        )
    return done


def _projects(conn: Connection, patterns: Sequence[str]) -> list[str]:
    plain = [one for one in patterns if not set("*?[") & set(one) and not one.startswith("re:")]
    if len(plain) == len(patterns):
        return list(dict.fromkeys(plain))
    known = [one.id for one in list_projects(conn)]
    found = [one for one in known if fits(patterns, one)]
    if not found:
        raise XNATNotFoundError(
            f"{conn.server} shows no project that fits {', '.join(patterns)}; "
            f"it shows {', '.join(known[:10]) or 'none'}",
            path=uris.PROJECTS,
        )
    return found


def _download(
    conn: Connection,
    root: Path,
    project: str,
    session: Experiment,
    chosen: Selection,
    layout: str,
    done: Batch,
    taken: dict[Path, str],
) -> None:
    scans = list_scans(conn, session.id) if chosen.needs_scans else ()
    address = uris.Address(experiment=session.id)
    every = list_resources(conn, address, everything=True)
    meant = {one.id: one for one in every if chosen.takes_resource(one, scans)}
    done.sessions += 1
    if not meant:
        return
    files = [one for one in list_session_files(conn, session.id) if one.resource_id in meant]
    pairs = [
        (
            file,
            root
            / place(_origin(conn, project, session, meant[file.resource_id]), file.path, layout),
        )
        for file in files
    ]
    for _, target in pairs:
        if target in taken:
            raise XNATUnsafeNameError(
                f"{target} is already that of {taken[target]}: choose a layout that tells projects "
                "and sessions apart"
            )
    taken.update((target, f"{project}/{session.label}") for _, target in pairs)
    missing = [(file, target) for file, target in pairs if not _lies_there(file, target)]
    done.kept += len(pairs) - len(missing)
    path, query = _cheapest(session, [meant[file.resource_id] for file, _ in missing], every)

    def displace(target: Path) -> None:
        put_aside(target, root, time.time())
        done.displaced.append(str(target.relative_to(root)))

    saved = fetch_folder(conn, path, missing, root=root, query=query, displace=displace)
    done.files += len(saved)
    done.unverified += sum(not file.md5 for file, _ in missing)
    done.bytes += sum(one.size for one in saved)


def _origin(conn: Connection, project: str, session: Experiment, resource: Resource) -> Origin:
    return Origin(
        server=conn.server,
        project=project,
        subject_id=session.subject_id,
        subject_label=session.subject_label,
        experiment_id=session.id,
        experiment_label=session.label,
        category=resource.category if resource.cat_id else "resources",
        parent_id=resource.cat_id if resource.cat_id != session.id else "",
        parent_desc=resource.cat_desc,
        resource_id=resource.id,
        resource_label=resource.label,
    )


def _lies_there(file: File, target: Path) -> bool:
    """Say whether the file is there and proven; without a digest it is downloaded again."""
    if not file.md5 or target.is_symlink() or not target.is_file():
        return False
    return target.stat().st_size == file.size and hash_file(target) == file.digest


def _cheapest(
    session: Experiment, wanted: Iterable[Resource], every: Iterable[Resource]
) -> tuple[str, dict[str, str]]:
    """Return the address whose zip holds what is wanted, and little else."""
    meant = {one.id: one for one in wanted}
    if meant and all(one.category == "scans" and one.cat_id for one in meant.values()):
        scans = sorted({one.cat_id for one in meant.values()})
        labels = sorted({one.label for one in meant.values()})
        plain = all("," not in word for word in (*scans, *labels))
        if plain and len(meant) < len(list(every)):
            return uris.scan_files(session.id, scans, labels), {}
    return uris.session_files(session.id), {"all": "true"}
