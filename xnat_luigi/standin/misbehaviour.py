"""Applying fault rules: instead of the work, or round the true answer on its way to the socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from .access import login_page
from .faults import Fault
from .wire import Answer, status_page
from .writing import Writer, cut_range

__all__ = ["Misbehaviour", "NoResponse"]

PIECE = 64 << 10


class NoResponse(web.StreamResponse):
    """Stands for an answer that was written by hand, or not at all."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Writes nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Writes nothing."""


class Misbehaviour:
    """The faults of `faults.Fault` at work."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def before(
        self, raw: web.BaseRequest, fault: Fault
    ) -> tuple[web.StreamResponse, int] | None:
        """Delays, and answers in the server's place if the rule says so."""
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if not fault.answers_itself:
            return None
        if fault.hang:
            # Until the client gives up (the task is cancelled) or the server stops.
            while raw.transport is not None and not raw.transport.is_closing():
                await asyncio.sleep(0.05)
            return self._silence(raw)
        if fault.reset:
            self._reset(raw)
            return self._silence(raw)
        if fault.close:
            return self._silence(raw)
        await self._swallow(raw)
        answer = self._own_answer(fault)
        if fault.touches_body:
            return await self._write(raw, answer, fault)
        return await self._writer.send(raw, answer)

    @staticmethod
    async def _swallow(raw: web.BaseRequest) -> None:
        async for _ in raw.content.iter_any():
            pass

    @staticmethod
    def _own_answer(fault: Fault) -> Answer:
        status = fault.status or (200 if fault.redirect is None else 302)
        kind = "text/html"
        if fault.body is not None:
            body = fault.body.encode()
        elif fault.html:
            body = login_page()
        elif fault.redirect is not None:
            body = b""
        else:
            body = status_page(status)
        headers = dict(fault.headers)
        if fault.redirect:
            headers["Location"] = fault.redirect
        for name in list(headers):
            if name.lower() == "content-type":
                kind = headers.pop(name)
        return Answer(status, body, kind, list(headers.items()), ranges=False)

    async def send(
        self, raw: web.BaseRequest, answer: Answer, fault: Fault
    ) -> tuple[web.StreamResponse, int]:
        """Sends the true answer as the rule bends it; the work has been done."""
        if fault.answer_delay:
            await asyncio.sleep(fault.answer_delay)
        if fault.drop:
            return self._silence(raw)
        if fault.rewrite_status is not None:
            answer.status = fault.rewrite_status
        answer.headers += list(fault.headers.items())
        if fault.ignore_range:
            answer.ranges = False
        if fault.touches_body:
            return await self._write(raw, answer, fault)
        return await self._writer.send(raw, answer)

    @staticmethod
    def _silence(raw: web.BaseRequest) -> tuple[web.StreamResponse, int]:
        if raw.transport is not None:
            raw.transport.close()
        response = NoResponse(status=444)
        response.force_close()
        return response, 0

    @staticmethod
    def _reset(raw: web.BaseRequest) -> None:
        if raw.transport is None:
            return
        sock = raw.transport.get_extra_info("socket")
        if sock is not None:
            # Lingering for zero seconds turns the close into a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.transport.abort()

    # by hand ------------------------------------------------------------------------------------

    async def _write(
        self, raw: web.BaseRequest, answer: Answer, fault: Fault
    ) -> tuple[web.StreamResponse, int]:
        response = NoResponse(status=answer.status)
        response.force_close()
        transport = raw.transport
        if transport is None:
            return response, 0
        assert isinstance(transport, asyncio.Transport)
        length = self._length(answer)
        headers = self._writer.head(answer)
        headers["Connection"] = "close"
        pieces = self._body(raw, answer, fault, headers, response, length)
        if fault.replace is not None:
            length = len(fault.replace.encode(errors="surrogateescape"))
        if "Content-Range" in headers and length is not None:
            length = int(headers["X-Cut"]) if "X-Cut" in headers else length
        headers.popall("X-Cut", None)
        chunked = length is None and not fault.no_length and raw.version >= HttpVersion11
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not fault.no_length and length is not None:
            headers["Content-Length"] = str(length)
        phrase = HTTPStatus(response.status).phrase if response.status in _KNOWN else "-"
        head = f"HTTP/1.1 {response.status} {phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        transport.write(head.encode() + b"\r\n")
        sent = 0
        if raw.method != "HEAD":
            sent = await self._write_body(transport, pieces, fault, chunked)
        if fault.cut_reset:
            await asyncio.sleep(0.01)  # what was written should leave before the reset
            self._reset(raw)
        else:
            transport.close()
        return response, sent

    @staticmethod
    def _length(answer: Answer) -> int | None:
        if isinstance(answer.body, Path):
            return answer.body.stat().st_size
        if isinstance(answer.body, bytes) and not answer.chunked:
            return len(answer.body)
        return None

    def _body(
        self,
        raw: web.BaseRequest,
        answer: Answer,
        fault: Fault,
        headers: object,
        response: web.StreamResponse,
        length: int | None,
    ) -> Iterator[bytes]:
        """The bytes to send, ranges applied (rightly or wrongly), one byte flipped if asked."""
        if fault.replace is not None:
            return iter([fault.replace.encode(errors="surrogateescape")])
        pieces = answer.pieces(PIECE)
        asked = raw.headers.get("Range")
        if length is not None and asked and answer.ranges and answer.status == 200:
            cut = cut_range(asked, length)
            if cut is not None and not isinstance(cut, int):
                if fault.wrong_range:
                    cut.start = 0 if cut.start else min(1, length)
                    cut.length = min(cut.length, length - cut.start)
                response.set_status(206)
                headers["Content-Range"] = cut.content_range  # type: ignore[index]
                headers["X-Cut"] = str(cut.length)  # type: ignore[index]
                pieces = _slice(pieces, cut.start, cut.length)
                length = cut.length
        if fault.flip is not None:
            pieces = _flip(pieces, fault.flip, length)
        return pieces

    async def _write_body(
        self, transport: asyncio.Transport, pieces: Iterator[bytes], fault: Fault, chunked: bool
    ) -> int:
        sent = 0
        stalled = fault.stall is None
        async for piece in self._writer.pull(pieces):
            while piece:
                size = len(piece)
                if not stalled and sent < fault.stall_after:
                    size = min(size, fault.stall_after - sent)
                if fault.cut is not None:
                    size = min(size, fault.cut - sent)
                if fault.drip:
                    size = min(size, max(fault.drip // 10, 1))
                if not stalled and sent >= fault.stall_after:
                    stalled = True
                    await asyncio.sleep(fault.stall or 0)
                if size <= 0:
                    return sent
                out, piece = piece[:size], piece[size:]
                if chunked:
                    transport.write(b"%x\r\n%b\r\n" % (len(out), out))
                else:
                    transport.write(out)
                sent += size
                await self._drain(transport)
                if transport.is_closing():
                    return sent
                if fault.drip:
                    await asyncio.sleep(size / fault.drip)
        if fault.cut is None and not fault.cut_reset:
            transport.write(fault.extra.encode() + (b"0\r\n\r\n" if chunked else b""))
        return sent

    @staticmethod
    async def _drain(transport: asyncio.Transport) -> None:
        while transport.get_write_buffer_size() > 4 * PIECE and not transport.is_closing():
            await asyncio.sleep(0.001)


_KNOWN = {status.value for status in HTTPStatus}


def _slice(pieces: Iterator[bytes], start: int, length: int) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        first = max(start - at, 0)
        last = min(start + length - at, len(piece))
        if first < last:
            yield piece[first:last]
        at += len(piece)


def _flip(pieces: Iterator[bytes], place: int, length: int | None) -> Iterator[bytes]:
    """One byte inverted; counted from the end it is looked for in the last piece."""
    if place < 0 and length is not None:
        place += length
    at, held = 0, b""
    for piece in pieces:
        if not piece:
            continue
        if held:
            yield held
        held = _inverted(piece, place - at) if place >= 0 else piece
        at += len(piece)
    yield _inverted(held, len(held) + place) if place < 0 else held


def _inverted(piece: bytes, place: int) -> bytes:
    if not 0 <= place < len(piece):
        return piece
    changed = bytearray(piece)
    changed[place] ^= 0xFF
    return bytes(changed)
