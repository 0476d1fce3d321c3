"""Files of a resource onto the disk, proven, and its manifest last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATConnectionError, XNATIntegrityError
from ..rest.files import download
from ..rest.records import File
from ..staging.manifest import Entry, Manifest, write_manifest
from ..staging.save import Part, Want, publish, write_part
from .layout import Origin, place

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Fetched", "fetch_resource", "manifest_path"]

logger = logging.getLogger(__name__)

STATE = ".xnat-luigi"
TRIES = 3


@dataclass(frozen=True)
class Fetched:
    """What one call brought: its manifest, the files fetched, and their bytes."""

    manifest: Manifest
    files: int
    size: int


def manifest_path(root: Path, origin: Origin) -> Path:
    """Where the manifest of a resource lies: below the root's `.xnat-luigi`, never among data."""
    folder = root / STATE / "manifests" / origin.project / (origin.experiment_id or "project")
    return folder / f"{origin.resource_id}.json"


def fetch_resource(
    conn: Connection,
    origin: Origin,
    files: Sequence[File],
    root: Path,
    *,
    layout: str = "documented",
    digests: str = "size",
    keep: Sequence[Entry] = (),
    stamps: dict[str, str] | None = None,
    check: Callable[[], None] | None = None,
) -> Fetched:
    """Bring files of a resource onto the disk.

    Parameters
    ----------
    files : sequence of File
        The resource's whole listing.
    digests : str
        `size` takes files without a digest by their size and notes it; `fail` refuses them.
    keep : sequence of Entry
        Entries of an older manifest that still hold: these files are not fetched.
    check : callable, optional
        Called between pieces of a body; what it raises ends the call and leaves nothing behind.

    Raises
    ------
    XNATIntegrityError
        What came is not what the listing says, twice; or a digest is missing under `fail`.
    XNATUnsafeNameError
        A name would lead outside; nothing was fetched.
    """
    kept = {entry.remote: entry for entry in keep}
    targets = {file.path: root / place(origin, file.path, layout) for file in files}
    if len(set(targets.values())) < len(targets):
        raise XNATIntegrityError(f"{origin.resource_label}: two files would lie at the same place")
    bare = [file.path for file in files if not file.digest]
    if bare and digests == "fail":
        raise XNATIntegrityError(
            f"{origin.experiment_label}: {len(bare)} files of {origin.resource_label} have no "
            "digest on the server: refresh its catalogs with checksums"
        )
    wanted = [file for file in files if file.path not in kept]
    parts: list[Part] = []
    try:
        for file in wanted:
            parts.append(_fetch(conn, file, targets[file.path], root, check))
        saved = dict(zip((file.path for file in wanted), publish(parts), strict=True))
    except BaseException:
        for part in parts:
            part.discard()
        raise
    entries = []
    for file in files:
        if file.path in kept:
            entries.append(kept[file.path])
            continue
        one = saved[file.path]
        proof = "md5" if file.digest else ("size" if file.size is not None else "none")
        entries.append(
            Entry(
                targets[file.path].relative_to(root).as_posix(),
                one.size,
                one.md5,
                one.mtime_ns,
                one.inode,
                file.path,
                proof,
            )
        )
    manifest = Manifest(origin.words(), tuple(entries), dict(stamps or {}))
    write_manifest(manifest_path(root, origin), manifest, root=root)
    return Fetched(manifest, len(saved), sum(one.size for one in saved.values()))


def _fetch(
    conn: Connection, file: File, target: Path, root: Path, check: Callable[[], None] | None
) -> Part:
    want = Want(target, file.size, file.digest or None)
    for attempt in range(1, TRIES + 1):
        try:
            with download.open_file(conn, file.uri) as stream:
                return write_part(want, _checked(stream.chunks(), check), root=root)
        except (XNATIntegrityError, XNATConnectionError) as error:
            if attempt == TRIES:
                raise
            logger.warning("%s; once more", error)
    raise AssertionError("unreachable")


def _checked(chunks: Iterable[bytes], check: Callable[[], None] | None) -> Iterator[bytes]:
    for chunk in chunks:
        if check is not None:
            check()
        yield chunk
