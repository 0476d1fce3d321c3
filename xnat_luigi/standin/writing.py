"""Writing answers to the socket: files by sendfile, iterators in chunks, ranges as Restlet cuts.

Everything here runs on the event loop; bodies are read in worker threads.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from .sending import corked, push_file
from .wire import Answer, status_page

__all__ = ["BrokenOff", "Cut", "Writer", "cut_range"]

SMALL = 256 << 10
_RANGE = re.compile(r"^bytes=\s*(\d*)\s*-\s*(\d*)\s*$")


class BrokenOff(Exception):
    """An answer could not be made to its end; the connection is closed already."""


class FileResponse(web.StreamResponse):
    """A response whose head goes out at once, so that sendfile may follow."""

    _send_headers_immediately = True


@dataclass
class Cut:
    """A part of a body: from `start`, `length` bytes promised, of which only some may exist."""

    start: int
    length: int
    total: int
    status: int = 206

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"


def cut_range(header: str, total: int | None) -> Cut | int | None:
    """What Restlet 1.1 makes of a Range header (wire contract A 0.2, "Range").

    Returns: a cut; the status of a refusal; or None when the range is ignored. `total` is None for
    a body of unknown length.
    """
    if "," in header:
        return 501
    match = _RANGE.match(header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if total is None:
        return None if first and last else 500
    if not first:
        length = min(int(last), total)
        return Cut(total - length, length, total)
    start = int(first)
    if not last:
        return Cut(start, max(total - start, 0), total)
    # Not clamped: a range beyond the end promises bytes that do not exist.
    return Cut(start, max(int(last) - start + 1, 0), total)


class Writer:
    """Turns answers into aiohttp responses and sends them."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def send(
        self, request: web.BaseRequest, answer: Answer
    ) -> tuple[web.StreamResponse, int]:
        """Sends an answer; returns the response and the number of body bytes sent."""
        headers = self.head(answer)
        if isinstance(answer.body, Path):
            return await self._send_file(request, answer, answer.body, headers)
        if isinstance(answer.body, bytes):
            return await self._send_bytes(request, answer, answer.body, headers)
        return await self._send_stream(request, answer, iter(answer.body), headers)

    @staticmethod
    def head(answer: Answer) -> CIMultiDict[str]:
        """The headers of an answer but those about its length."""
        headers = CIMultiDict(answer.headers)
        headers["Server"] = "xnat-luigi-standin"
        if answer.content_type:
            headers["Content-Type"] = answer.content_type
        for cookie in answer.cookies:
            headers.add("Set-Cookie", cookie)
        return headers

    async def _send_bytes(
        self, request: web.BaseRequest, answer: Answer, body: bytes, headers: CIMultiDict[str]
    ) -> tuple[web.StreamResponse, int]:
        status = answer.status
        cut = self._cut(request, answer, None if answer.chunked else len(body))
        promised = None
        if isinstance(cut, int):
            status, body = cut, status_page(cut)
            headers["Content-Type"] = "text/html"
        elif cut is not None:
            status = cut.status
            body = body[cut.start : cut.start + cut.length]
            headers["Content-Range"] = cut.content_range
            promised = cut.length
        if promised is not None and promised != len(body):
            return await self._send_short(request, status, headers, body, promised)
        if status in (204, 304):
            body = b""
            headers.pop("Content-Type", None)
        response = web.Response(status=status, headers=headers, body=body)
        if answer.chunked and not isinstance(cut, int) and _may_chunk(request):
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write_eof()
        return response, 0 if request.method == "HEAD" else len(body)

    async def _send_short(
        self,
        request: web.BaseRequest,
        status: int,
        headers: CIMultiDict[str],
        body: bytes,
        promised: int,
    ) -> tuple[web.StreamResponse, int]:
        """A body that ends before its promised length; the connection closes after it."""
        response = FileResponse(status=status, headers=headers)
        response.content_length = promised
        response.force_close()
        await response.prepare(request)
        if request.method != "HEAD":
            await response.write(body)
            if request.transport is not None:
                request.transport.close()
        return response, len(body)

    def _cut(self, request: web.BaseRequest, answer: Answer, total: int | None) -> Cut | int | None:
        header = request.headers.get("Range")
        if header is None or not answer.ranges or answer.status != 200 or request.method != "GET":
            return None
        return cut_range(header, total)

    async def _send_file(
        self, request: web.BaseRequest, answer: Answer, path: Path, headers: CIMultiDict[str]
    ) -> tuple[web.StreamResponse, int]:
        handle = open(path, "rb")  # noqa: SIM115 - closed below, it outlives the statement
        try:
            facts = os.fstat(handle.fileno())
            headers["Last-Modified"] = email.utils.formatdate(facts.st_mtime, usegmt=True)
            if _unchanged(request, facts.st_mtime):
                response = web.Response(status=304, headers=headers)
                del response.headers["Content-Type"]
                await response.prepare(request)
                await response.write_eof()
                return response, 0
            cut = self._cut(request, answer, facts.st_size)
            if isinstance(cut, int):
                refused = Answer.page(cut)
                refused.cookies, refused.ranges = answer.cookies, False
                return await self._send_bytes(request, refused, status_page(cut), headers)
            start, count, status = 0, facts.st_size, answer.status
            if cut is not None:
                start, count, status = cut.start, cut.length, cut.status
                headers["Content-Range"] = cut.content_range
            there = max(min(count, facts.st_size - start), 0)
            if there <= SMALL or there < count:
                handle.seek(start)
                body = handle.read(there)
                if there < count:
                    return await self._send_short(request, status, headers, body, count)
                small = web.Response(status=status, headers=headers, body=body)
                await small.prepare(request)
                await small.write_eof()
                return small, 0 if request.method == "HEAD" else len(body)
            large = FileResponse(status=status, headers=headers)
            large.content_length = count
            transport = request.transport
            assert isinstance(transport, asyncio.Transport)
            with corked(transport):
                await large.prepare(request)
                if request.method != "HEAD":
                    await push_file(transport, handle, start, count)
            await large.write_eof()
            return large, 0 if request.method == "HEAD" else count
        finally:
            handle.close()

    async def _send_stream(
        self,
        request: web.BaseRequest,
        answer: Answer,
        chunks: Iterator[bytes],
        headers: CIMultiDict[str],
    ) -> tuple[web.StreamResponse, int]:
        cut = self._cut(request, answer, None)
        if isinstance(cut, int):
            _close(chunks)
            return await self._send_bytes(request, Answer.page(cut), status_page(cut), headers)
        response = web.StreamResponse(status=answer.status, headers=headers)
        if _may_chunk(request):
            response.enable_chunked_encoding()
        else:
            response.force_close()  # HTTP/1.0: the body ends with the connection
        sent = 0
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                async for chunk in self.pull(chunks):
                    await response.write(chunk)
                    sent += len(chunk)
            await response.write_eof()
        except ConnectionError:
            raise
        except Exception as error:
            # The real server, too, breaks off in the middle: no terminating chunk.
            if request.transport is not None:
                request.transport.close()
            raise BrokenOff(f"{type(error).__name__}: {error}") from error
        finally:
            _close(chunks)
        return response, sent

    async def pull(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Chunks of a blocking iterator, each fetched in a worker thread."""
        loop = asyncio.get_running_loop()
        while (chunk := await loop.run_in_executor(self._pool, next, chunks, None)) is not None:
            if chunk:
                yield chunk


def _may_chunk(request: web.BaseRequest) -> bool:
    return request.version >= HttpVersion11


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _unchanged(request: web.BaseRequest, modified: float) -> bool:
    header = request.headers.get("If-Modified-Since")
    if header is None:
        return False
    try:
        since = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return False
    return int(modified) <= since
