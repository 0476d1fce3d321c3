"""A project to disk, as tasks over `xnat_luigi.sync`."""

from __future__ import annotations

from pathlib import Path

import luigi

from ..exceptions import XNATError
from ..sync import apply, inventory, plan
from ..transfer.select import Selection
from .base import XnatTask

__all__ = ["SyncFailedError", "SyncProject"]


class SyncFailedError(XNATError):
    """Some sessions could not be fetched; the others were. The message names them."""
