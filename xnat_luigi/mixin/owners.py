"""What objects with resources have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import uris
from ..core import XNATListing, registry_of
from ..exceptions import XNATConflictError
from ..rest.files.upload import create_resource

if TYPE_CHECKING:
    from .resources import AbstractResource, FileData

__all__ = ["archive_uri", "file_listing", "make_resource", "resource_listing"]


def archive_uri(**parts: str | None) -> str:
    """Return the whole address of an item, raw, as `external_uri` shows it."""
    return "/data" + uris.Address(**parts).archive_uri()


def resource_listing(owner: Any) -> XNATListing[AbstractResource]:
    """Return the listing of an object's resources."""
    return XNATListing(
        uri=owner._listing_uri("resources"),
        parent=owner,
        field_name="resources",
        secondary_lookup_field="label",
        xsi_type="xnat:resourceCatalog",
    )


def file_listing(owner: Any) -> XNATListing[FileData]:
    """Return the listing of an object's files, by path within their resource."""
    return XNATListing(
        uri=owner._listing_uri("files"),
        parent=owner,
        field_name="files",
        secondary_lookup_field="path",
        xsi_type="xnat:fileData",
    )


def make_resource(
    owner: Any,
    label: str,
    format: str | None = None,
    data_dir: str | Path | None = None,
    method: str | None = None,
) -> Any:
    """Make a resource of an object and return it; upload a folder into it if one is given.

    Parameters
    ----------
    label : str
        Letters, digits, `_`, `-` and `.`, and not digits only.
    format : str, optional
        What kind of files it holds, `NIFTI` for example.
    data_dir : path, optional
        A folder to upload (S-166).
    method : str, optional
        How, see `AbstractResource.upload_dir`.

    Raises
    ------
    XNATConflictError
        There is a resource of that label.
    """
    conn = owner.xnat_session.connection
    address = owner._address()
    if not create_resource(conn, address, label, format=format):
        raise XNATConflictError(f"{owner.uri} has a resource {label!r} already")
    registry_of(owner.xnat_session).clear_listings()
    owner.clearcache()
    made = owner.resources[label]
    if data_dir is not None:
        made.upload_dir(data_dir, method=method or "tgz_file")
    return made
