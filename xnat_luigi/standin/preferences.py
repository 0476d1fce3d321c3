"""Site preferences: the knobs of the real site configuration, and a few of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["DEFAULTS", "Preferences"]

DEFAULTS: dict[str, Any] = {
    "siteId": "XNAT",
    "siteUrl": "",
    "requireLogin": True,
    "sessionTimeout": 900,  # seconds; the real one is written "15 minutes"
    "concurrentMaxSessions": 1000,
    "maxFailedLogins": 20,
    "securityChannel": "any",
    "checksums": True,
    "enableCsrfToken": False,
    "uiAllowNonAdminProjectCreation": True,
    "preventDataDeletion": False,
    "requireChangeJustification": False,
    "showChangeJustification": False,
    "requireEventName": False,
    "zipCompressionMethod": 0,
    "sessionXmlRebuilderInterval": 5,  # minutes
    "sessionXmlRebuilderRepeat": 60000,  # milliseconds
    "sessionArchiveTimeoutInterval": 600,  # seconds that a request waits for its archive job
    "preventCrossModalityMerge": True,
    "useSopInstanceUidToUniquelyIdentifyDicom": True,
    "uiDefaultCompressedUploaderImporter": "DICOM-zip",
    "allowDataAdmins": True,
    "initialized": True,
    "version": "1.8.10",
    # What file listings say; our own.
    "listDigests": True,
    "listSizes": True,
    "allowRange": True,
    "catalogRace": False,
    "fileHistory": False,
}


class Preferences:
    """A mapping of preferences; unknown names may be added, every change is kept in the store."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        self._values = {**DEFAULTS, **(stored or {})}
        self._lock = threading.Lock()
        self.on_change: list[Any] = []

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of `name`, or `default`."""
        return self._values.get(name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Sets several preferences at once."""
        with self._lock:
            self._values.update(values)
        for listener in self.on_change:
            listener(dict(values))

    def preset(self, name: str, value: Any) -> None:
        """Sets a value for this run only, unless somebody has chosen one."""
        with self._lock:
            if not self._values.get(name):
                self._values[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self._values)
