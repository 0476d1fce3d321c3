"""Listings of resources and files (wire contract A 3.6, 6.1, 6.2).

A wrong child in an address makes the server answer 200 with the rows of *its parent*; an unknown
resource gives an empty list of files. Both are found out here and never handed on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATNotFoundError, XNATResponseError, XNATValueError
from .answers import cell, number, read_table
from .documents import get_item, resolve
from .records import File, Resource

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "list_files",
    "list_files_of",
    "list_resources",
    "list_session_files",
    "make_file",
    "make_resource",
]

log = logging.getLogger(__name__)

_INSIDE = re.compile(r"^.*?/resources/[^/]+/files/(.*)$", re.DOTALL)


def make_resource(row: dict[str, str]) -> Resource:
    """Make the record of a row of a listing of resources."""
    return Resource(
        id=cell(row, "xnat_abstractresource_id"),
        label=cell(row, "label"),
        category=cell(row, "category"),
        cat_id=cell(row, "cat_id"),
        cat_desc=cell(row, "cat_desc").strip(),
        file_count=number(cell(row, "file_count")),
        file_size=number(cell(row, "file_size")),
        format=cell(row, "format"),
        content=cell(row, "content"),
        tags=cell(row, "tags"),
    )


def make_file(row: dict[str, str]) -> File:
    """Make the record of a row of a listing of files.

    The path is everything behind `/resources/X/files/` of the address, never the `Name`, which is
    the last part only (A 6.2).
    """
    uri = cell(row, "URI")
    inside = _INSIDE.match(uri)
    if inside is None or not inside.group(1):
        raise XNATResponseError(f"the server lists the file {uri[:200]!r}, which has no path")
    return File(
        path=inside.group(1),
        size=number(row.get("Size", "")),
        digest=row.get("digest", "").strip().lower(),
        uri=uri,
        resource_label=row.get("collection", ""),
        resource_id=row.get("cat_ID", ""),
        format=row.get("file_format", ""),
        content=row.get("file_content", ""),
        tags=row.get("file_tags", ""),
    )


def list_resources(
    conn: Connection, address: uris.Address, *, everything: bool = False
) -> list[Resource]:
    """Return the resources of a place.

    Parameters
    ----------
    address : Address
        Labels under a project cost one request more: the experiment is looked up first, because
        for a wrong one the server answers with the rows of the subject or project (A 6.1).
    everything : bool
        Of an experiment also those of its scans, assessors and reconstructions. One experiment a
        call: the rows of several could not be told apart (A 3.6).

    Raises
    ------
    XNATNotFoundError
        The place is not there.
    """
    if everything and address.kind != "experiment":
        raise XNATValueError("everything=True is for one experiment")
    if everything and address.experiment and "," in address.experiment:
        raise XNATValueError("everything=True is for one experiment: rows of several mix")
    place = resolve(conn, address)
    query = {"format": "json", **({"all": "true"} if everything else {})}
    rows = read_table(conn.request("GET", place.resources(), query=query))
    found = [make_resource(row) for row in rows]
    if place.scan is not None and not _is_selector(place.scan):
        found = _only_of_scan(conn, place, found)
    return found


def _is_selector(scan: str) -> bool:
    return scan in {"ALL", "*", "NULL"} or "," in scan


def _only_of_scan(conn: Connection, place: uris.Address, found: list[Resource]) -> list[Resource]:
    """Keep the rows of the scan with this ID: the server also takes a scan's type (A 6.1, 7)."""
    kept = [resource for resource in found if resource.cat_id == place.scan]
    if len(kept) < len(found) or not found:
        get_item(conn, place.item())  # by ID only: 404 when it was a type
    return kept


def list_files(
    conn: Connection,
    address: uris.Address,
    label: str | None = None,
    *,
    digests: bool = True,
) -> list[File]:
    """Return the files of one resource, or of all resources of a place.

    Rows come from the server's catalog, not from its disk: a file may be listed and missing
    (A 6.2). `size` and `digest` are None and `""` where the server knows none.

    Parameters
    ----------
    address : Address
        Where the resource is.
    label : str, optional
        The resource's label or numeric ID, or several of them with commas (A 3.6).
    digests : bool
        False drops the digests, for servers known to hold old ones (A 6.2).

    Raises
    ------
    XNATNotFoundError
        The place or the resource is not there (the server answers an empty list for the latter).
    """
    place = resolve(conn, address)
    try:
        answer = conn.request("GET", place.files(label), query={"format": "json"})
    except XNATResponseError as error:
        if error.status == 500:
            get_item(conn, place.item())  # /experiments/NOPE/files is answered with 500 (A 6.1)
        raise
    found = [make_file(row) for row in read_table(answer)]
    _refuse_parents(place, found)
    if label is not None and "," not in label and not found:
        _need_resource(conn, place, label)
    if not digests:
        return [replace(file, digest="") for file in found]
    return found


def _refuse_parents(place: uris.Address, files: Iterable[File]) -> None:
    """Refuse rows of a parent or of another scan: their addresses lack our part (A 6.1)."""
    for file in files:
        before = file.uri.split("/resources/", 1)[0] + "/"
        wrong = (place.experiment is not None and "/experiments/" not in before) or (
            place.subject is not None and place.experiment is None and "/subjects/" not in before
        )
        if place.scan is not None and not _is_selector(place.scan):
            wrong = wrong or not before.endswith(f"/scans/{place.scan}/")
        if wrong:
            raise XNATNotFoundError(
                f"{place.path()}: the server answers with files of another place ({file.uri})",
                status=200,
                method="GET",
                path=place.path(),
            )


def _need_resource(conn: Connection, place: uris.Address, label: str) -> None:
    for resource in list_resources(conn, place):
        if label in (resource.label, resource.id):
            return
    raise XNATNotFoundError(
        f"{place.path()} has no resource {label!r}",
        status=200,
        method="GET",
        path=place.resources(),
    )


def list_session_files(conn: Connection, experiment_id: str) -> list[File]:
    """Return all files of an experiment: its own, its scans', assessors' and reconstructions'.

    One request, with digests where the server has them (A 3.6). `File.resource_id` tells to which
    resource a file belongs.

    Raises
    ------
    XNATNotFoundError
        There is no such experiment.
    """
    path = uris.session_files(experiment_id)
    try:
        answer = conn.request("GET", path, query={"format": "json", "all": "true"})
    except XNATResponseError as error:
        if error.status == 500:
            get_item(conn, uris.experiment(experiment_id))
        raise
    return [make_file(row) for row in read_table(answer)]


def list_files_of(conn: Connection, experiment_ids: Sequence[str]) -> list[File]:
    """Return all files of several experiments in one request; `File.uri` tells whose they are.

    The number of experiments is limited by the length of an address (A 3.6).
    """
    answer = conn.request(
        "GET", uris.session_files(experiment_ids), query={"format": "json", "all": "true"}
    )
    return [make_file(row) for row in read_table(answer)]
