"""Resources onto the disk, proven, and each one's manifest last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATError, XNATIntegrityError
from ..rest.records import File
from ..staging.manifest import Entry, Manifest, write_manifest
from ..staging.save import sync_all
from .carry import Carrier, Parcel
from .layout import Origin
from .standing import Job, Standing, place_all, refuse_clashes, sort_out

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["DIGESTS", "Fetched", "Job", "fetch_resource", "fetch_session", "manifest_path"]

STATE = ".xnat-luigi"
DIGESTS = ("size", "fail", "refresh")
"""what to do with files for which the server has no digest: take them by size, refuse them, or
have the server compute them first (which is the caller's business; then as `size`)"""
MOST_NAMED = 20
"""so many files that did not come are named in an error"""


@dataclass(frozen=True)
class Fetched:
    """What was done for one resource.

    `files` and `size` (bytes) were fetched, `kept` needed no fetching, of these `adopted` had
    been put there by somebody else and `moved` lay elsewhere. `drifted` were edited here and left
    as they are, `bare` have no digest on the server. `error` is why there is no new manifest.
    """

    manifest: Manifest
    files: int = 0
    size: int = 0
    kept: int = 0
    adopted: int = 0
    moved: int = 0
    drifted: tuple[str, ...] = ()
    bare: int = 0
    error: XNATError | None = field(default=None, compare=False)


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
    stamps: Mapping[str, str] | None = None,
    pulse: Callable[[int], None] | None = None,
) -> Fetched:
    """Bring one resource onto the disk.

    Parameters
    ----------
    files : sequence of File
        The resource's whole listing.
    layout : str
        A name of `layout.LAYOUTS`, or a template.
    digests : str
        One of `DIGESTS`.
    keep : sequence of Entry
        Entries of an older manifest; those that still hold are not fetched again.
    pulse : callable, optional
        Called with the number of bytes of every piece; what it raises ends the call and leaves no
        part behind.

    Raises
    ------
    XNATIntegrityError
        What came is not what the listing says, twice; or a digest is missing under `fail`.
    XNATNotFoundError
        A file is listed and misses on the server's disk. (If several did not come, whatever the
        reasons, the error is the former and names them.)
    XNATUnsafeNameError
        A name would lead outside; nothing was fetched.
    """
    old = Manifest(origin.words(), tuple(keep)) if keep else None
    job = Job(origin, tuple(files), old, dict(stamps or {}))
    carrier = Carrier(conn, root, pulse=pulse)
    (done,) = fetch_session(carrier, [job], layout=layout, digests=digests)
    if done.error is None and done.manifest == old:
        _write(root, done.manifest, origin)  # `keep` may be a part of what the file tells
    sync_all(root)
    if done.error is not None:
        raise done.error
    return done


def fetch_session(
    carrier: Carrier, jobs: Sequence[Job], *, layout: str = "documented", digests: str = "size"
) -> list[Fetched]:
    """Bring several resources of one experiment, as few requests as pay off.

    A resource that cannot be completed has its reason in `Fetched.error`, keeps its old manifest,
    and does not stop the others. What concerns all of them (an outage, a full disk) raises. The
    bytes of files are durable afterwards; for names and manifests the caller ends with
    `save.sync_all`.

    Raises
    ------
    XNATUnsafeNameError
        A name is refused, or two files would lie at one place; nothing was fetched.
    """
    root = carrier.root
    places = {job.origin.resource_id: place_all(job, layout) for job in jobs}
    everywhere = [one for some in places.values() for one in some.values()]
    refuse_clashes(everywhere, jobs[0].origin.experiment_label if jobs else "")
    errors = {job.origin.resource_id: _refuse_bare(job, digests) for job in jobs}
    standings = {
        job.origin.resource_id: sort_out(job, root, places[job.origin.resource_id])
        for job in jobs
        if errors[job.origin.resource_id] is None
    }
    carrier.bring(
        [
            Parcel(job.origin, tuple(standings[job.origin.resource_id].wanted), job.files)
            for job in jobs
            if job.origin.resource_id in standings
        ]
    )
    done = []
    for job in jobs:
        error = errors[job.origin.resource_id]
        if error is not None:
            done.append(Fetched(job.old or Manifest(job.origin.words(), ()), error=error))
        else:
            done.append(_finish(carrier, job, standings[job.origin.resource_id]))
    return done


def _refuse_bare(job: Job, digests: str) -> XNATError | None:
    bare = sum(not file.md5 for file in job.files)
    if not bare or digests != "fail":
        return None
    return XNATIntegrityError(
        f"{job.origin.experiment_label}: {bare} files of {job.origin.resource_label} have no "
        "digest on the server: refresh its catalogs with checksums, or take them by size"
    )


def _finish(carrier: Carrier, job: Job, standing: Standing) -> Fetched:
    """Write the manifest, if all of the resource is there."""
    brought = [one for one in standing.wanted if one.target in carrier.entries]
    lost = [one for one in standing.wanted if one.target not in carrier.entries]
    entries = dict(standing.kept)
    for one in brought:
        entries[one.file.path] = carrier.entries[one.target]
    facts = {
        "files": len(brought),
        "size": sum(carrier.entries[one.target].size for one in brought),
        "kept": len(standing.kept),
        "adopted": standing.adopted,
        "moved": standing.moved,
        "drifted": tuple(standing.drifted),
        "bare": sum(not file.md5 for file in job.files),
    }
    if lost:
        error = _name_all(
            [
                carrier.failed.get(one.target)
                or XNATIntegrityError(f"{one.target} could not be fetched")
                for one in lost
            ]
        )
        return Fetched(job.old or Manifest(job.origin.words(), ()), error=error, **facts)  # type: ignore[arg-type]
    ordered = tuple(entries[file.path] for file in job.files)
    manifest = Manifest(job.origin.words(), ordered, dict(job.stamps))
    if manifest != job.old:
        _write(carrier.root, manifest, job.origin)
    return Fetched(manifest, **facts)  # type: ignore[arg-type]


def _name_all(errors: Sequence[XNATError]) -> XNATError:
    """One error for all files of a resource that did not come; each is named, up to a few."""
    if len(errors) == 1:
        return errors[0]
    said = [str(one) for one in errors[:MOST_NAMED]]
    said += [f"and {len(errors) - MOST_NAMED} more"] if len(errors) > MOST_NAMED else []
    return XNATIntegrityError(f"{len(errors)} files did not come: {'; '.join(said)}")


def _write(root: Path, manifest: Manifest, origin: Origin) -> None:
    # Not synced: one that a loss of power cuts counts as absent, and its files are adopted.
    write_manifest(manifest_path(root, origin), manifest, sync=False, root=root)
