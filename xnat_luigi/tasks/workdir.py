"""The folder in which a step works: removed at the end, also on failure unless it shall be kept."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

__all__ = ["Workdir"]

logger = logging.getLogger(__name__)


class Workdir:
    """A working folder that is removed at the end, also on failure unless `keep` is set."""

    def __init__(self, name: str, keep: bool) -> None:
        self._keep = keep
        self._path = Path(tempfile.mkdtemp(prefix=f"{name[:40]}-"))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and self._keep:
            logger.warning("the working folder is kept: %s", self._path)
            return
        shutil.rmtree(self._path, ignore_errors=True)
