"""One file of a listing, proven, with as many tries as the policy allows.

What breaks off is asked for again; what arrives wrong is asked for once more, as the file may have
been replaced between the listing and the answer (fault rows N3 and N11).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import XNATConnectionError, XNATIntegrityError, XNATPageError
from ..rest.files.download import open_file
from ..rest.records import File
from ..staging.save import Part, Want, write_part

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["TRIES", "fetch_part", "in_tries", "want_of"]

log = logging.getLogger(__name__)

TRIES = 3
WRONG = 2
"""so many answers that are whole and wrong are the server's last word"""

Result = TypeVar("Result")


def want_of(file: File, target: Path) -> Want:
    """What the bytes of a listed file must be."""
    return Want(target, file.size, file.md5 or None)


def in_tries(fetch: Callable[[], Result]) -> Result:
    """Do it again when the answer breaks off or is wrong.

    Raises
    ------
    XNATIntegrityError
        Twice wrong.
    XNATConnectionError
        It broke off each time.
    """
    wrong = 0
    for attempt in range(1, TRIES + 1):
        try:
            return fetch()
        except XNATIntegrityError as error:
            wrong += 1
            if wrong == WRONG or attempt == TRIES:
                raise
            log.warning("%s; once more", error)
        except XNATConnectionError as error:
            if attempt == TRIES:
                raise
            log.warning("%s; once more", error)
    raise AssertionError("unreachable")


def fetch_part(
    conn: Connection,
    file: File,
    target: Path,
    *,
    root: Path | None = None,
    asked: Callable[[], None] = lambda: None,
    pulse: Callable[[int], None] = lambda count: None,
) -> Part:
    """Bring one file into a part that awaits `save.publish`.

    Parameters
    ----------
    root : Path, optional
        Folder below which no symbolic link is followed.
    asked : callable
        Called before each request.
    pulse : callable
        Called with the number of bytes of every piece; what it raises ends the work.

    Raises
    ------
    XNATIntegrityError, XNATConnectionError
        As `in_tries`.
    XNATNotFoundError
        It is listed and misses on the server's disk.
    XNATPageError
        A web page came.
    """

    def fetch() -> Part:
        asked()
        with open_file(conn, file.uri) as stream:
            chunks = _no_page(file, _counted(stream.chunks(), pulse))
            return write_part(want_of(file, target), chunks, root=root)

    return in_tries(fetch)


def _counted(chunks: Iterable[bytes], pulse: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        pulse(len(chunk))
        yield chunk


def _no_page(file: File, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Refuse a web page in place of a file that nothing else could prove (fault row N9)."""
    provable = bool(file.md5) or file.size is not None
    first = True
    for chunk in chunks:
        if first and not provable and not file.path.lower().endswith((".html", ".htm")):
            start = bytes(chunk[:64]).lstrip().lower()
            if start.startswith((b"<!doctype html", b"<html")):
                raise XNATPageError(
                    f"{file.uri}: a web page came in place of the file, and the server lists "
                    "neither size nor digest to tell; refresh its catalog"
                )
        first = False
        yield chunk
