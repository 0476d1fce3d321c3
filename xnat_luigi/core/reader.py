"""A file on the server, opened like a local one (S-196 to S-200)."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATIntegrityError
from ..rest.files.download import open_file

if TYPE_CHECKING:
    from pydicom import FileDataset

    from ..connection.login import Connection

__all__ = ["RemoteFile", "read_header"]

CHUNK = 64 * 1024
IN_MEMORY = 8 * 1024 * 1024


class RemoteFile(io.RawIOBase):
    """Reads a file from its start as far as it is needed; what was read once is kept.

    Seeking forward downloads up to the wanted place, seeking backward costs nothing. Closing it
    ends the download and frees the buffer.

    Parameters
    ----------
    conn : Connection
        Where to ask.
    uri : str
        The file's address as the listing gives it.
    size : int, optional
        Its size as the listing gives it; a body of another size is an error.
    """

    def __init__(self, conn: Connection, uri: str, size: int | None = None) -> None:
        super().__init__()
        self._uri = uri
        self._expected = size
        self._position = 0
        self._fetched = 0
        self._ended = False
        self._stack = ExitStack()
        try:
            self._buffer = self._stack.enter_context(
                tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
            )
            stream = self._stack.enter_context(open_file(conn, uri))
            self._chunks: Iterator[bytes] = iter(stream.chunks(CHUNK))
        except BaseException:
            self._stack.close()
            raise

    @property
    def fetched(self) -> int:
        """Bytes that were downloaded so far."""
        return self._fetched

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def _fetch(self, until: int | None) -> None:
        """Download up to a position, all when it is None."""
        while not self._ended and (until is None or self._fetched < until):
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
                if self._expected is not None and self._fetched != self._expected:
                    raise XNATIntegrityError(
                        f"{self._uri}: {self._fetched} bytes came, the listing says "
                        f"{self._expected}"
                    )
                return
            self._buffer.seek(self._fetched)
            self._buffer.write(chunk)
            self._fetched += len(chunk)

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all that is left when `size` is None or below 0."""
        self._need_open()
        everything = size is None or size < 0
        self._fetch(None if everything else self._position + int(size or 0))
        self._buffer.seek(self._position)
        found = self._buffer.read() if everything else self._buffer.read(int(size or 0))
        self._position += len(found)
        return found

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read(-1)

    def readinto(self, buffer: object) -> int:
        """Fill a buffer, return how many bytes came."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; forward it is downloaded up to there (S-198)."""
        self._need_open()
        if whence == io.SEEK_END:
            self._fetch(None)
            target = self._fetched + offset
        else:
            target = offset + (self._position if whence == io.SEEK_CUR else 0)
            self._fetch(target)
        if target < 0:
            raise ValueError(f"position {target} is before the start of the file")
        self._position = target
        return target

    def tell(self) -> int:
        """Return the position."""
        self._need_open()
        return self._position

    def _need_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """End the download and free the buffer (S-200)."""
        if not self.closed:
            self._stack.close()
        super().close()


def read_header(file: Any, read_pixel_data: bool, force: bool) -> FileDataset:
    """Read a remote file with pydicom, downloading only what is needed (S-199, S-206).

    `file` has `open()`; `force` reads files without a proper header too.
    """
    import pydicom

    with file.open() as opened:
        return pydicom.dcmread(opened, stop_before_pixels=not read_pixel_data, force=force)
