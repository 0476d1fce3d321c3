"""Items as XML documents that can be put somewhere else (wire contract A 4, 5.2, 5.4).

What belongs to one place alone is taken off: IDs, labels, projects and owners (the address says
these), shares, paths on the server's disk, and what has an address of its own (experiments,
assessors, resources and their files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import safexml
from ..connection.login import Wait
from ..exceptions import XNATResponseError

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Portable", "put_document", "read_portable"]

_XNAT = "{http://nrg.wustl.edu/xnat}"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_ELSEWHERE = (
    "sharing",
    "experiments",
    "assessors",
    "resources",
    "file",
    "in",
    "out",
    "prearchivePath",
    "subject_ID",
    "session_ID",
    "image_session_ID",
    "imageSession_ID",
    "study_protocol",
)
_OWN = ("ID", "label", "project")


@dataclass(frozen=True)
class Portable:
    """A document without what belongs to its place, and what was taken off it.

    `assessors` are pairs of ID and label of the image assessors in it.
    """

    content: bytes
    id: str
    label: str
    project: str
    assessors: tuple[tuple[str, str], ...] = ()


def read_portable(
    conn: Connection, path: str, *, new_id: str | None = None, renamed: bool = False
) -> Portable:
    """Read an item's document and make it fit for another place.

    Parameters
    ----------
    new_id : str, optional
        For a project: the ID it will have.
    renamed : bool
        For a project: it gets this ID as its name and secondary ID as well, and no aliases, since
        all of these must be unique on a server (A 5.5).

    Raises
    ------
    XNATNotFoundError
        There is no such item.
    XNATIntegrityError
        The document is damaged.
    """
    query = {"format": "xml", "concealHiddenFields": "true"}
    root = safexml.parse(conn.request("GET", path, query=query).content)
    own = {name: root.get(name) or "" for name in _OWN}
    found = root.findall(f"{_XNAT}assessors/{_XNAT}assessor")
    assessors = tuple((one.get("ID") or "", one.get("label") or "") for one in found)
    for name in (*_OWN, _SCHEMA):
        root.attrib.pop(name, None)
    for element in list(root.iter()):
        parent = element.getparent()
        local = str(element.tag).rpartition("}")[2]
        if parent is not None and str(element.tag).startswith(_XNAT) and local in _ELSEWHERE:
            parent.remove(element)
    if new_id is not None:
        root.set("ID", new_id)
        if renamed:
            _rename(root, new_id)
    return Portable(safexml.serialize(root), own["ID"], own["label"], own["project"], assessors)


def _rename(root: safexml.Element, new_id: str) -> None:
    for name in ("name", "secondary_ID"):
        if root.get(name) is not None:
            root.set(name, new_id)
        for element in root.findall(f"{_XNAT}{name}"):
            element.text = new_id
    for element in root.findall(f"{_XNAT}aliases"):
        root.remove(element)


def put_document(conn: Connection, path: str, content: bytes) -> str:
    """Put a document at an item's address by label, return the ID that the server answers.

    An item that is there is overlaid: fields of the document count, others stay (A 5.2). `""` is
    returned for projects, whose ID is in the address.

    Raises
    ------
    XNATResponseError
        400 a value is refused, 409 the label is taken, 422 the server does not know the type.
    """
    answer = conn.request(
        "PUT",
        path,
        headers={"Content-Type": "text/xml"},
        body=content,
        accepted=(200, 201),
        wait=Wait.TRANSFER,
        repeatable=True,
    )
    text = answer.text.strip()
    if text and not re.fullmatch(r"[\w/:.-]+", text):
        raise XNATResponseError(
            f"PUT {path}: status {answer.status}, but the answer {text[:80]!r} is no ID",
            status=answer.status,
            method="PUT",
            path=path,
        )
    return text.rsplit("/", 1)[-1]
