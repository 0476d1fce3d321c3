"""What QC said, written beside the data: scan quality, an assessor, a resource, fresh catalogs.

All of it may be repeated (wire contract B 13.2): words are set by place, the assessor has one label
a session, files are replaced by equal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATConflictError
from ..rest import items, listings, services
from ..rest.records import Experiment
from ..transfer.upload import make_sending, upload_files
from .keys import StudyHeldError, StudyKey
from .ledger import local_user
from .policy import Policy

if TYPE_CHECKING:
    from ..connection.login import Connection

ASSESSOR_TYPE = "xnat:qcManualAssessorData"
RESOURCE = "QC"
REFRESH = ("checksum", "populateStats")
"""Explicit, always: without options the server does everything, deleting included (B 5.1)."""


def record_results(
    conn: Connection,
    key: StudyKey,
    experiment: Experiment,
    *,
    status: str,
    reasons: Iterable[str],
    series: Mapping[str, str],
    policy: Policy,
    files: Iterable[Path] = (),
) -> str:
    """Write a verdict to an archived session; returns the assessor's ID.

    status: "pass", "warn" or "fail", of the session. series: SeriesNumber -> status, for the
    quality of its scan. files: report, verdict and rules for the resource `QC`, by their names.
    Raises StudyHeldError when the assessor's label belongs to something else.
    """
    set_qualities(conn, experiment, status, series, policy)
    assessor = put_assessor(conn, key, experiment, status, reasons)
    entries = [make_sending(path.name, path) for path in files]
    if entries:
        address = uris.Address(experiment=experiment.id)
        upload_files(conn, address, RESOURCE, entries, overwrite=True)
    place = uris.Address(experiment=experiment.id).archive_uri()
    services.refresh_catalog(conn, place, REFRESH)
    return assessor


def set_qualities(
    conn: Connection,
    experiment: Experiment,
    status: str,
    series: Mapping[str, str],
    policy: Policy,
) -> None:
    """Set the quality of every scan that has another one. Any text is stored (B 11).

    The server names a scan after its SeriesNumber (B 1.6) and appends modality and number when two
    series share one (`1-MR1`, B 3.4).
    """
    for scan in listings.list_scans(conn, experiment.id):
        number = scan.id.split("-")[0]
        word = policy.quality(series.get(scan.id, series.get(number, status)))
        if scan.quality != word:
            items.set_fields(conn, uris.scan(experiment.id, scan.id), {"quality": word})


def put_assessor(
    conn: Connection, key: StudyKey, experiment: Experiment, status: str, reasons: Iterable[str]
) -> str:
    """Create or update the assessor `SESSION_QC`, exactly one a session.

    A label that something else in the project wears holds the study: the server would link that
    anew (B 11).
    That this very type is used for automatic results is our choice; teams differ
    [unverified].
    """
    label = f"{key.session}_QC"
    told = "; ".join(reasons)
    fields = {
        f"{ASSESSOR_TYPE}/date": date.today().isoformat(),
        f"{ASSESSOR_TYPE}/rater": local_user()[:64],
        f"{ASSESSOR_TYPE}/comments": (told or "every rule is met")[:250],
        f"{ASSESSOR_TYPE}/pass": status,
    }
    try:
        return items.create_assessor(conn, experiment.id, label, ASSESSOR_TYPE, fields=fields)
    except XNATConflictError as error:
        raise StudyHeldError(key, f"the label {label} is taken: {error}") from error
