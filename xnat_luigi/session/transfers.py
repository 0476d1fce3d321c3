"""Downloads and uploads of a session, for addresses of any kind.

What is saved to a file goes through the staging writer: it has its name only when it is whole,
compared with what the server announced or, for a file of a resource, with size and digest of its
listing. Zips are read through to their end before they get their name.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from ..connection.login import Stream, Wait
from ..connection.retry import RetryPolicy
from ..connection.transport import NotSentError
from ..exceptions import (
    XNATIntegrityError,
    XNATNotFoundError,
    XNATPageError,
    XNATUnavailableError,
    XNATUnclearError,
    XNATUploadError,
    XNATValueError,
)
from ..rest.answers import read_table
from ..rest.files.upload import check_file_path
from ..rest.records import md5_of
from ..staging.save import Want, part_writer, publish
from ..staging.unpack import unpack_zip
from .addresses import read_address, servers_of
from .progress import UpdateFunction, default_update_func

__all__ = ["download", "download_stream", "download_zip", "upload"]

CHUNK = 512 * 1024
DEFAULT_TIMEOUT = 300
"""seconds, the documented default of a session; transfers wait longer for their first byte"""


def download(
    session: Any,
    uri: str,
    target: str | os.PathLike[str],
    format: str | None = None,
    verbose: bool = True,
    timeout: Any = None,
) -> str:
    """Save what is at an address to a file, see `BaseXNATSession.download`."""
    path, query = read_address(servers_of(session), uri, format=format)
    if format == "zip" or ("format", "zip") in query:
        return download_zip(session, uri, target, verbose, timeout)
    for attempt in (1, 2):
        size, md5 = _expected(session, path, query)
        try:
            return _save(session, path, query, target, verbose, timeout, size=size, md5=md5)
        except XNATIntegrityError:
            # It may have been replaced between the listing and the download: once more.
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def download_zip(
    session: Any,
    uri: str,
    target: str | os.PathLike[str],
    verbose: bool = True,
    timeout: Any = None,
) -> str:
    """Save a listing of files as a zip, see `BaseXNATSession.download_zip`."""
    path, query = read_address(servers_of(session), uri, format="zip")
    return _save(session, path, query, target, verbose, timeout, check=_read_zip)


def download_stream(
    session: Any,
    uri: str,
    target_stream: IO[bytes],
    format: str | None = None,
    verbose: bool = False,
    chunk_size: int = CHUNK,
    update_func: UpdateFunction | None = None,
    timeout: Any = None,
) -> None:
    """Write what is at an address to an open file, see `BaseXNATSession.download_stream`."""
    if chunk_size < 1:
        raise XNATValueError(f"chunk_size must be above 0, not {chunk_size}")
    path, query = read_address(servers_of(session), uri, format=format)
    with _opened(session, path, query, timeout) as stream:
        update = update_func or (default_update_func(stream.length) if verbose else None)
        with contextlib.closing(_told(stream, chunk_size, update)) as pieces:
            for piece in pieces:
                target_stream.write(piece)


def _save(
    session: Any,
    path: str,
    query: list[tuple[str, str]],
    target: str | os.PathLike[str],
    verbose: bool,
    timeout: Any,
    *,
    size: int | None = None,
    md5: str | None = None,
    check: Callable[[Iterable[bytes]], None] | None = None,
) -> str:
    place = Path(target)
    session.logger.info("Downloading %s", path)
    with _opened(session, path, query, timeout, zip=check is not None) as stream:
        update = default_update_func(stream.length) if verbose else None
        want = Want(place, stream.length if size is None else size, md5)
        with (
            part_writer(want) as part,
            contextlib.closing(_told(stream, CHUNK, update)) as pieces,
        ):

            def written() -> Iterator[bytes]:
                for piece in pieces:
                    part.write(piece)
                    yield piece

            if check is not None:
                check(written())
            for _ in written():
                pass
    publish([part])
    session.logger.info("Saved %d bytes as %s", part.size, place)
    return str(target)


def _read_zip(chunks: Iterable[bytes]) -> None:
    """Read a zip to its end; what is cut, damaged or none at all raises."""
    unpack_zip(chunks, lambda _: None)


@contextlib.contextmanager
def _opened(
    session: Any, path: str, query: list[tuple[str, str]], timeout: Any, *, zip: bool = False
) -> Iterator[Stream]:
    wait = timeout
    if timeout is None:
        # The session's own number rules once somebody has set one (S-071).
        set_by_user = session.request_timeout not in (None, DEFAULT_TIMEOUT)
        wait = session.request_timeout if set_by_user else Wait.TRANSFER
    with session.connection.stream(path, query=query, wait=wait) as stream:
        kind = str(stream.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
        if zip and kind in ("text/html", "application/json", "text/xml", "application/xml"):
            raise XNATPageError(
                f"GET {path}: {kind} where a zip was due; ask for a listing of files (.../files)",
                status=stream.status,
                method="GET",
                path=path,
            )
        yield stream


def _told(stream: Stream, size: int, update: UpdateFunction | None) -> Generator[bytes, None, None]:
    """The body in pieces of `size` bytes, with a word about each to `update` (S-079, S-080)."""
    done = 0
    try:
        for piece in _pieces(stream.chunks(), size):
            done += len(piece)
            yield piece
            if update is not None:
                update(done, stream.length, False)
    finally:
        if update is not None:
            update(done, stream.length, True)


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        while len(kept) >= size:
            yield bytes(kept[:size])
            del kept[:size]
    if kept:
        yield bytes(kept)


def _expected(
    session: Any, path: str, query: list[tuple[str, str]]
) -> tuple[int | None, str | None]:
    """Size and MD5 of a resource's file by its listing; None where there is nothing to know."""
    place, found, name = path.partition("/files/")
    if not found or query or "/resources/" not in place or "/user/cache/" in place:
        return None, None
    listing = f"{place}/files"
    answer = session.connection.request("GET", listing, query={"format": "json"})
    for row in read_table(answer):
        listed = row.get("URI", "").partition("/files/")[2]
        if listed in (name, unquote(name)):
            size = row.get("Size", "")
            return int(size) if size.isdigit() else None, md5_of(row.get("digest", "")) or None
    raise XNATNotFoundError(
        f"{listing} lists no such file: {name}", status=404, method="GET", path=path
    )


# Uploads ------------------------------------------------------------------------------------------


def upload(
    session: Any,
    uri: str,
    file_: Any,
    retries: int = 1,
    query: Mapping[str, Any] | None = None,
    content_type: str | None = None,
    method: str = "put",
    overwrite: bool = False,
    timeout: Any = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Send a file or data to an address, see `BaseXNATSession.upload`."""
    send = {"put": session.put, "post": session.post}.get(method.lower())
    if send is None:
        raise XNATValueError(f"method {method!r} is neither 'put' nor 'post'")
    wanted: dict[str, Any] = {"inbody": "true", **(query or {})}
    if overwrite:
        wanted["overwrite"] = "true"
    headers = {"Content-Type": content_type or "application/octet-stream"}
    waits = RetryPolicy(session.connection.policy)
    place = _file_to_make(session, uri, wanted)
    with _body(file_) as body:
        begin, length = _extent(body)
        if length == 0 and "/files" in uri:
            raise XNATUploadError(
                f"{uri}: the server takes no empty file by itself; upload_dir sends them too"
            )
        for left in range(max(1, retries) - 1, -1, -1):
            _rewind(body, begin)
            try:
                response = send(uri, data=body, query=wanted, headers=headers, timeout=timeout)
                break
            except (NotSentError, XNATUnavailableError, XNATUnclearError) as error:
                # What may have worked is sent again only where the same bytes replace themselves.
                unclear = isinstance(error, XNATUnclearError)
                pause = waits.next_wait() if left and (overwrite or not unclear) else None
                if pause is None:
                    raise
                session.logger.info("upload to %s: %s; again in %.1f s", uri, error, pause)
                sleep(pause)
    _refuse_duplicates(uri, response)
    if place is not None:
        _must_be_listed(session, place)
    return response


def _file_to_make(session: Any, uri: str, query: Mapping[str, Any]) -> str | None:
    """The path of a resource's file that an upload makes under its own name, else None.

    A name that the server would store percent-encoded is refused here (T4).
    """
    path, inside = read_address(servers_of(session), uri)
    place, found, name = path.partition("/files/")
    unpacked = str({**dict(inside), **query}.get("extract", "")).lower() == "true"
    if not found or not name or "/resources/" not in place or unpacked:
        return None
    check_file_path(unquote(name))
    return path


def _must_be_listed(session: Any, path: str) -> None:
    """Without the right to edit the server says 200 and stores nothing (A 6.4)."""
    try:
        _expected(session, path, [])
    except XNATNotFoundError as error:
        raise XNATUploadError(
            f"{path}: the server said yes, but does not list the file; a user without the right to "
            "edit gets just that answer"
        ) from error


@contextlib.contextmanager
def _body(file_: Any) -> Iterator[Any]:
    """What is to be sent: bytes, or a binary file that can be sent again (S-086, S-092)."""
    if isinstance(file_, (bytes, bytearray, memoryview)):
        yield bytes(file_)
    elif isinstance(file_, os.PathLike) or (isinstance(file_, str) and _is_file(file_)):
        with open(file_, "rb") as file:
            yield file
    elif isinstance(file_, str):
        yield file_.encode("utf-8")
    elif isinstance(file_, io.TextIOBase):
        yield file_.read().encode("utf-8")
    elif hasattr(file_, "read"):
        seekable = getattr(file_, "seekable", None)
        yield file_ if seekable is not None and seekable() else file_.read()
    else:
        raise XNATValueError(
            f"a {type(file_).__name__} cannot be uploaded: give an open file, a path or data"
        )


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(text)
    except ValueError:  # a NUL, so it is no path
        return False


def _extent(body: Any) -> tuple[int, int]:
    if isinstance(body, bytes):
        return 0, len(body)
    begin = int(body.tell())
    end = int(body.seek(0, os.SEEK_END))
    body.seek(begin)
    return begin, end - begin


def _rewind(body: Any, begin: int) -> None:
    if not isinstance(body, bytes):
        body.seek(begin)


def _refuse_duplicates(uri: str, response: Any) -> None:
    """The server says 200 to what it did not store because it is there (A 6.4)."""
    text = str(response.text or "").strip()
    if not text.startswith('{"duplicates"'):
        return
    taken = [str(path) for path in response.json().get("duplicates", [])]
    if taken:
        raise XNATUploadError(
            f"{uri.partition('?')[0]}: {', '.join(taken[:5])} is there already and was not "
            "replaced; overwrite=True replaces it"
        )
