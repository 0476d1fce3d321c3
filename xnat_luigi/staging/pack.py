"""Zips written while they are sent: no temporary file, flat memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["pack_zip"]

_CHUNK = 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)


class _Pipe(io.RawIOBase):
    """Takes what the zip writer writes and hands it on; cannot seek, so sizes follow the data."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.held = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self.held += len(part)
        return len(part)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self.held = 0
        return data


def pack_zip(entries: Iterable[tuple[str, Iterable[bytes] | Path]]) -> Iterator[bytes]:
    """A zip of stored (not deflated) files, as a stream; zip64 where it is needed.

    Parameters
    ----------
    entries : iterable of (str, iterable of bytes or Path)
        Name in the zip and content. Contents are read in order, each when its turn comes, and may
        be of any size; equal contents and names give equal bytes.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            chunks = _read(content) if isinstance(content, Path) else content
            # The size is not known beforehand: the entry is made ready for one above 4 GiB.
            with archive.open(info, "w", force_zip64=True) as file:
                for chunk in chunks:
                    file.write(chunk)
                    if pipe.held >= _CHUNK:
                        yield pipe.take()
    yield pipe.take()


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
