"""Luigi tasks for an XNAT server; `luigi --module xnat_luigi.tasks xnat.NAME ...` runs one.

Importing this package changes settings of Luigi that would hide failures, where the user's
configuration says nothing (`settings.DEFAULTS`).
"""

from .settings import apply_defaults

apply_defaults()

from .archive import ArchiveSession  # noqa: E402
from .assessor import DerivedAssessor  # noqa: E402
from .base import XnatTask  # noqa: E402
from .derived import DerivedTask, EveryScan, EverySession, ResourceReady  # noqa: E402
from .download import DownloadResource  # noqa: E402
from .fields import SetFields  # noqa: E402
from .importing import ImportSession  # noqa: E402
from .night import ArchiveReady, ArchiveRow, TakeInFolder  # noqa: E402
from .outcome import CloseSession, RecordQC, VerifySession  # noqa: E402
from .qc import QCSession, SessionHeldError  # noqa: E402
from .refresh import ExperimentReady, RefreshCatalog, RefreshSession  # noqa: E402
from .step import Step  # noqa: E402
from .sync import SyncExperiment, SyncFailedError, SyncOrder, SyncProject  # noqa: E402
from .upload import UploadResource  # noqa: E402

__all__ = [
    "ArchiveReady",
    "ArchiveRow",
    "ArchiveSession",
    "CloseSession",
    "DerivedAssessor",
    "DerivedTask",
    "DownloadResource",
    "EveryScan",
    "EverySession",
    "ExperimentReady",
    "ImportSession",
    "QCSession",
    "RecordQC",
    "RefreshCatalog",
    "RefreshSession",
    "ResourceReady",
    "SessionHeldError",
    "SetFields",
    "Step",
    "SyncExperiment",
    "SyncFailedError",
    "SyncOrder",
    "SyncProject",
    "TakeInFolder",
    "UploadResource",
    "VerifySession",
    "XnatTask",
]
