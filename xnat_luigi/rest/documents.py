"""Item documents: reading one, and finding out whether an address names what it seems to name.

The server looks up experiments and subjects by their global ID first and does not check that they
belong to the project in the address (wire contract A 7), and it answers for the parent where a
child is wrong (A 6.1). So an address with a project is resolved before it is used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATLoginFailedError, XNATNotFoundError
from .answers import read_items
from .records import Item

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "belongs",
    "get_item",
    "get_project",
    "get_project_id",
    "label_in",
    "resolve",
    "seek_item",
]


def get_item(conn: Connection, path: str) -> Item:
    """Return the document of an item (A 4): `path` is its address, made by `uris`.

    Raises
    ------
    XNATNotFoundError
        404. It may also mean «not for our user»; see `absence` for what is really absent.
    """
    return read_items(conn.request("GET", path, query={"format": "json"}))[0]


def seek_item(conn: Connection, path: str) -> Item | None:
    """Return the document of an item, None when a login known to be alive got 404.

    This alone does not make the item absent: its parent must be there (see `absence`). When the
    login was lost meanwhile, the question is asked once more.

    Raises
    ------
    XNATLoginFailedError
        404 while the server does not know our user any more.
    XNATError
        Every other failure.
    """
    for _ in range(2):
        answer = conn.request("GET", path, query={"format": "json"}, accepted=(200, 404))
        if answer.status == 200:
            return read_items(answer)[0]
        if conn.logged_in():
            return None
    raise XNATLoginFailedError(
        f"{path}: 404, and {conn.server} does not know the user {conn.user!r} any more; "
        "log in again before asking whether it exists"
    )


def get_project_id(conn: Connection, project: str) -> str:
    """Return the ID of a project given by ID or alias (A 7).

    Raises
    ------
    XNATNotFoundError
        There is no such project, or our user cannot see it.
    """
    return get_project(conn, project).text("ID") or project


def get_project(conn: Connection, project: str) -> Item:
    """Return the document of a project given by ID or alias.

    Raises
    ------
    XNATNotFoundError
        There is no such project, or our user cannot see it; the server's own words speak of an
        experiment.
    """
    try:
        return get_item(conn, uris.project(project))
    except XNATNotFoundError as error:
        raise XNATNotFoundError(
            f"there is no project {project!r} that {conn.user} can see at {conn.server}; IDs are "
            "case-sensitive, and a project's name is not its ID",
            status=error.status,
            method=error.method,
            path=error.path,
            detail=error.detail,
        ) from None


def label_in(item: Item, project: str) -> str | None:
    """Return an item's label in a project, None when it is neither owned by nor shared into it."""
    if item.text("project") == project:
        return item.text("label")
    for share in item.listed("sharing/share"):
        if share.text("project") == project:
            return share.text("label") or item.text("label")
    return None


def belongs(conn: Connection, item: Item, project: str) -> bool:
    """Say whether a project (ID or alias) owns the item or has it shared."""
    if label_in(item, project) is not None:
        return True
    return label_in(item, get_project_id(conn, project)) is not None


def resolve(conn: Connection, address: uris.Address) -> uris.Address:
    """Return the same place with experiments named by their ID alone, proven to exist.

    An address that names its experiment by ID alone, or a project, is returned as it is: there the
    server's own 404 can be trusted (A 6.1).

    Raises
    ------
    XNATNotFoundError
        The subject or experiment is not there, or not in the project of the address.
    """
    if address.project is None or (address.subject is None and address.experiment is None):
        return address
    if address.experiment is None:
        _found_in(conn, address, address.project)
        return address
    top = replace(
        address, scan=None, assessor=None, reconstruction=None, direction=None, subject=None
    )
    item = _found_in(conn, top, address.project)
    return replace(address, project=None, subject=None, experiment=item.text("ID"))


def _found_in(conn: Connection, address: uris.Address, project: str) -> Item:
    path = address.item()
    item = get_item(conn, path)
    if not belongs(conn, item, project):
        raise XNATNotFoundError(
            f"{path}: the server answers with {item.text('ID')} of project "
            f"{item.text('project')}, which is not in {project}",
            status=200,
            method="GET",
            path=path,
        )
    return item
