"""What a site says about itself: version and schemas. Source: wire contract A 1.3 and A 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATNotFoundError, XNATResponseError
from .answers import read_json

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["get_build_info", "list_schemas", "read_schema"]


def get_build_info(conn: Connection) -> dict[str, str]:
    """Version, build number and the like, as text; open to everybody.

    Raises
    ------
    XNATResponseError
        The answer is no JSON object with a version.
    """
    answer = conn.request("GET", uris.BUILD_INFO)
    found = read_json(answer)
    if not isinstance(found, dict) or not found.get("version"):
        raise XNATResponseError(
            f"GET {uris.BUILD_INFO}: no version in the answer; is this an XNAT server?",
            status=answer.status,
            method="GET",
            path=uris.BUILD_INFO,
            detail=answer.text[:200],
        )
    return {str(name): str(value) for name, value in found.items()}


def list_schemas(conn: Connection) -> list[str]:
    """The names of all schemas, in the order of the server.

    Raises
    ------
    XNATResponseError
        The answer is no JSON list of names, or an empty one.
    """
    answer = conn.request("GET", uris.SCHEMAS)
    found = read_json(answer)
    if not isinstance(found, list) or not found or not all(isinstance(x, str) for x in found):
        raise XNATResponseError(
            f"GET {uris.SCHEMAS}: a list of names was due",
            status=answer.status,
            method="GET",
            path=uris.SCHEMAS,
            detail=answer.text[:200],
        )
    return [str(name) for name in found]


def read_schema(conn: Connection, name: str) -> bytes:
    """One schema, in whatever encoding it names; the 1.6 style is tried where it is unknown.

    Raises
    ------
    XNATNotFoundError
        The server has no schema of that name.
    """
    try:
        return conn.request("GET", uris.schema(name)).content
    except XNATNotFoundError as error:
        try:
            return conn.request("GET", uris.legacy_schema(name)).content
        except XNATNotFoundError:
            raise error from None
