"""Objects from addresses: the class that fits, and one object per address."""

from __future__ import annotations

from typing import Any

from .. import uris
from ..exceptions import XNATValueError
from ..rest.answers import read_json
from ..rest.records import Experiment
from .cache import object_key, registry_of
from .session import local_path

__all__ = ["clear_listings", "create_object", "make_object", "show_experiment"]


def _class(session: Any, xsi_type: str | None) -> Any:
    if not xsi_type:
        return None
    try:
        return session.classes.XNAT_CLASS_LOOKUP[xsi_type]
    except KeyError:
        return None


def make_object(
    session: Any,
    uri: str,
    type_: str | None,
    *,
    id_: str | None = None,
    datafields: dict[str, Any] | None = None,
    parent: Any = None,
    fieldname: Any = None,
    overwrites: dict[str, Any] | None = None,
    through: str = "",
    fallback: str | None = None,
    row: dict[str, str] | None = None,
    known: dict[str, str] | None = None,
    **kwargs: Any,
) -> Any:
    """Return the object of an address; a living one of the same address is brought up to date.

    Parameters
    ----------
    type_ : str
        Its xsi type.
    through : str
        The project through which it was reached: a shared item shows other labels there.
    fallback : str, optional
        The type to use when the schemas do not describe `type_`.
    row : dict, optional
        The row of the listing it was found in.
    known : dict, optional
        Fields as a listing has them, so that they need no document; `""` is no value.
    """
    cls = _class(session, type_) or _class(session, fallback)
    if cls is None:
        raise XNATValueError(f"{uri}: no schema of the server describes the type {type_!r}")
    key = object_key(cls, uri, through)
    registry = registry_of(session)
    found = registry.find(key) if session.caching else None
    if found is None:
        found = cls(
            uri=uri,
            xnat_session=session,
            id_=id_,
            datafields=datafields,
            parent=parent,
            fieldname=fieldname,
            overwrites=overwrites,
            **kwargs,
        )
        registry.add(key, found)
    else:
        found._overwrites.update(overwrites or {})
        if id_ is not None:
            found._cache.setdefault("id", id_)
        if datafields:
            found._cache["data"] = dict(datafields)
        if known and _is_older(found._cache.get("_read_document"), known):
            found.clearcache()
        if found._parent is None:
            found._parent = parent
    if row is not None:
        found._cache["row"] = row
    if known:
        found._cache["known"] = known
    return found


def _is_older(entry: dict[str, Any] | None, known: dict[str, str]) -> bool:
    """Say whether a document that was read before disagrees with a row that came now."""
    if entry is None:
        return False
    fields = entry.get("data_fields", {})
    return any(str(fields.get(name) or "") != value for name, value in known.items())


def create_object(
    session: Any, uri: str, type_: str | None = None, fieldname: str | None = None, **kwargs: Any
) -> Any:
    """Return the object behind an address, with the class that fits (S-109). Makes nothing there.

    Parameters
    ----------
    uri : str
        A path, or a whole address that begins with the server's.
    type_ : str, optional
        Its xsi type; looked up when missing, which takes one request, and the data are kept.
    fieldname : str, optional
        The field by which it was reached.
    kwargs
        Handed on to the object.

    Raises
    ------
    XNATNotFoundError
        There is nothing at that address.
    XNATValueError
        No schema describes its type.
    """
    from .objects import current

    path = local_path(session, uri)
    entry: dict[str, Any] | None = None
    if type_ is None:
        parts = path.split("/")
        if len(parts) > 2 and parts[-2] == "resources":
            type_ = "xnat:resourceCatalog"  # the server answers a catalog there, never JSON (A 4)
        elif "files" in parts[:-1] and "resources" in parts:
            type_ = "xnat:fileData"
        else:
            conn = session.connection
            answer = conn.request("GET", uris.quote_listed(path), query={"format": "json"})
            document = read_json(answer)
            found = document.get("items", []) if isinstance(document, dict) else []
            entry = next((e for e in found if isinstance(e, dict) and current(e)), None)
            if entry is None:
                raise XNATValueError(f"{path}: the server shows no item there")
            type_ = str(entry.get("meta", {}).get("xsi:type", ""))
    through = ""
    parts = path.split("/")
    if "projects" in parts[:-2] and kwargs.get("parent") is None:
        through = parts[parts.index("projects") + 1]
        kwargs.setdefault("overwrites", {})
    elif entry is not None and parts[-2:-1] in (["subjects"], ["experiments"]):
        through = str(entry.get("data_fields", {}).get("project") or "")
    made = make_object(session, path, type_, fieldname=fieldname, through=through, **kwargs)
    if entry is not None:
        made._cache["_read_document"] = entry
        _show_as_shared(made, entry, through)
    return made


def _show_as_shared(made: Any, entry: dict[str, Any], project: str) -> None:
    """Show the label and project of the project an item was asked through (S-113)."""
    from .objects import current

    if not project or entry.get("data_fields", {}).get("project") in (project, None):
        return
    for child in entry.get("children", []):
        if child.get("field") != "sharing/share":
            continue
        for share in child.get("items", []):
            fields = share.get("data_fields", {})
            if current(share) and fields.get("project") == project:
                made._overwrites["project"] = project
                if fields.get("label"):
                    made._overwrites["label"] = fields["label"]


def show_experiment(session: Any, experiment: Experiment) -> Any:
    """Return the object of an experiment that was found."""
    overwrites = {"label": experiment.label} if experiment.label else {}
    if experiment.project:
        overwrites["project"] = experiment.project
    return make_object(
        session,
        uris.experiment(experiment.id),
        experiment.xsi_type,
        id_=experiment.id,
        overwrites=overwrites,
        fallback="xnat:imageSessionData",
    )


def clear_listings(session: Any) -> None:
    """Empty the caches of all listings of a session (S-127)."""
    registry_of(session).clear_listings()
