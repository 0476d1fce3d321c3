"""Folders into resources: the five documented methods (S-184 to S-188)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..exceptions import XNATValueError
from ..transfer.upload import read_sendings, upload_files

__all__ = ["METHODS", "send_folder"]

METHODS: Mapping[str, tuple[str, bool]] = {
    "per_file": ("files", False),
    "tar_memory": ("tar", True),
    "tgz_memory": ("tgz", True),
    "tar_file": ("tar", False),
    "tgz_file": ("tgz", False),
}
"""how each method sends: single files or a kind of archive, and whether it is made in memory"""


def send_folder(
    resource: Any,
    directory: Path,
    overwrite: bool,
    method: str,
    *,
    query: Mapping[str, str] | None = None,
    timeout: Any = None,
    retries: int = 1,
) -> None:
    """Upload a folder into a resource and prove that every file is there.

    Parameters
    ----------
    query : mapping, optional
        `format`, `content`, `tags` of the files; the server also sets them on the resource.
    timeout, retries
        Taken so that scripts run; the waits and tries of the policy count, as an upload is looked
        after and not just repeated.
    """
    if method not in METHODS:
        raise XNATValueError(f"upload method {method!r} is none of {', '.join(METHODS)}")
    if not directory.is_dir():
        raise XNATValueError(f"{directory} is no folder: nothing was uploaded")
    mode, in_memory = METHODS[method]
    resource.logger.info("Uploading %s to %s", directory, resource.uri)
    upload_files(
        resource.xnat_session.connection,
        resource._owner_address(),
        resource.label,
        read_sendings(directory),
        overwrite=overwrite,
        mode=mode,
        in_memory=in_memory,
        attributes=dict(query or {}),
    )
