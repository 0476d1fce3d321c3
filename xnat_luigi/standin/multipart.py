"""multipart/form-data bodies: found in a file by offset, never loaded whole."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Part", "read_parts"]

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([A-Za-z0-9_*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


@dataclass(frozen=True)
class Part:
    """A slice of a spooled body: one part, or the whole of a raw body."""

    file: Path
    offset: int
    size: int
    name: str = ""
    filename: str | None = None
    content_type: str = ""

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The bytes in pieces."""
        left = self.size
        with self.file.open("rb") as file:
            file.seek(self.offset)
            while left > 0 and (chunk := file.read(min(size, left))):
                left -= len(chunk)
                yield chunk

    def read(self) -> bytes:
        """All bytes in memory."""
        return b"".join(self.chunks())

    def copy_to(self, target: Path) -> Path:
        """Writes the bytes to `target` and returns it."""
        with target.open("wb") as file:
            for chunk in self.chunks():
                file.write(chunk)
        return target


def read_parts(path: Path, content_type: str) -> list[Part]:
    """Finds the parts of the multipart body in `path`.

    Raises: `ValueError` when there is no boundary or the body is cut off.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise ValueError("The multipart request names no boundary.")
    mark = b"--" + (match.group(1) or match.group(2)).encode()
    if path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        return list(_split(body, mark, path))


def _split(body: mmap.mmap, mark: bytes, path: Path) -> Iterator[Part]:
    at = body.find(mark)
    if at < 0:
        raise ValueError("The multipart request holds no part.")
    while True:
        at += len(mark)
        if body[at : at + 2] == b"--":
            return
        start = body.find(b"\r\n", at) + 2
        head_end = body.find(b"\r\n\r\n", start - 2)
        following = body.find(b"\r\n" + mark, start - 2)
        if start < 2 or head_end < 0 or following < 0:
            raise ValueError("The multipart request ends before its last part does.")
        if head_end > following:
            head_end = start - 4
        name, filename, kind = _read_head(body[start : max(head_end, start)])
        offset = head_end + 4
        yield Part(path, offset, following - offset, name, filename, kind)
        at = following + 2


def _read_head(head: bytes) -> tuple[str, str | None, str]:
    name, filename, kind = "", None, ""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-type":
            kind = value.strip()
        elif key.strip().lower() == "content-disposition":
            for parameter, quoted, plain in _PARAMETER.findall(value):
                text = re.sub(r"\\(.)", r"\1", quoted) or plain
                if parameter.lower() == "name":
                    name = text
                elif parameter.lower() == "filename":
                    filename = text
    return name, filename, kind
