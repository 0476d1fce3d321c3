"""The HTTP side: requests are spooled and handed to handlers in threads, answers written back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from .access import Access
from .faults import Faults
from .misbehaviour import Misbehaviour, NoResponse
from .quick import QuickFiles
from .router import Router
from .state import State
from .wire import Answer, Body, Params, Refusal, Request, status_page
from .writing import BrokenOff, Writer

__all__ = ["App", "RequestLog", "RequestRecord"]

log = logging.getLogger(__name__)
VARY = "Accept-Charset, Accept-Encoding, Accept-Language, Accept"
CONTROL = "/standin/"
TUNNEL = {"media": "accept", "language": "accept-language", "charset": "accept-charset"}


@dataclass(frozen=True)
class RequestRecord:
    """One answered request. `path` is without context and query; bytes are those of the bodies."""

    method: str
    path: str
    query: str
    status: int
    bytes_in: int
    bytes_out: int
    user: str
    seconds: float = 0.0


@dataclass
class RequestLog:
    """The last requests, and totals of all. Control addresses are not counted."""

    kept: int = 20_000
    records: deque[RequestRecord] = field(init=False)
    counts: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0

    def __post_init__(self) -> None:
        self.records = deque(maxlen=self.kept)
        self._lock = threading.Lock()

    def add(self, record: RequestRecord) -> None:
        """Keeps a record; the oldest is forgotten when there are too many."""
        with self._lock:
            self.records.append(record)
            self.counts[record.method] += 1
            self.bytes_in += record.bytes_in
            self.bytes_out += record.bytes_out

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self.records.clear()
            self.counts.clear()
            self.bytes_in = self.bytes_out = 0

    def snapshot(self) -> list[RequestRecord]:
        """The kept records, oldest first."""
        with self._lock:
            return list(self.records)


class App:
    """One server's request handling. `errors` keeps unexpected exceptions of handlers."""

    def __init__(
        self, state: State, router: Router, *, context: str = "", workers: int = 64
    ) -> None:
        self.state = state
        self.router = router
        self.context = context.rstrip("/")
        self.access = Access(state, self.context)
        self.faults = Faults()
        self.log = RequestLog()
        self.errors: deque[BaseException] = deque(maxlen=100)
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="standin")
        self.writer = Writer(self.pool)
        self.misbehaviour = Misbehaviour(self.writer)
        self.quick = QuickFiles(state, self.access)

    # on the event loop --------------------------------------------------------------------------

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        started = time.monotonic()
        path, _, query = raw.raw_path.partition("?")
        inside = path.startswith(CONTROL)
        fault = None if inside else self.faults.match(raw.method, raw.raw_path)
        request = Request(raw.method, path, Params(), {}, Body())
        response: web.StreamResponse | None = None
        sent = 0
        try:
            if fault is not None:
                early = await self.misbehaviour.before(raw, fault)
                if early is not None:
                    response, sent = early
                    return response
            request = await self._read(raw, path, query)
            generation = self.state.store.generation
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self.pool, self.work, request)
            try:
                if fault is None:
                    self.quick.remember(raw.raw_path, request, answer, generation)
                    response, sent = await self.writer.send(raw, answer)
                else:
                    response, sent = await self.misbehaviour.send(raw, answer, fault)
            finally:
                for left in answer.after:
                    with contextlib.suppress(OSError):
                        os.unlink(left)
            return response
        except ConnectionError:
            return NoResponse(status=499)  # the client went away; nobody is there to be told
        except BrokenOff as reason:
            log.info("%s %s: %s", request.method, request.path, reason)
            return NoResponse(status=200)  # begun and not ended, as the real server does
        finally:
            if request.body.path is not None:
                with contextlib.suppress(OSError):
                    request.body.path.unlink()
            if not inside:
                self._record(request, query, response, sent, started)

    def note_quick(self, target: str, user: str, sent: int, began: float) -> None:
        """Enters a file that `shortcut.py` has sent into the log."""
        path, _, query = target.partition("?")
        seconds = time.monotonic() - began
        path = path.removeprefix(self.context)
        self.log.add(RequestRecord("GET", path, query, 200, 0, sent, user, seconds))

    def _record(
        self,
        request: Request,
        query: str,
        response: web.StreamResponse | None,
        sent: int,
        started: float,
    ) -> None:
        self.log.add(
            RequestRecord(
                request.method,
                request.path,
                query,
                0 if response is None else response.status,
                request.body.size,
                sent,
                request.user,
                time.monotonic() - started,
            )
        )

    async def _read(self, raw: web.BaseRequest, path: str, query: str) -> Request:
        headers = {name.lower(): value for name, value in raw.headers.items()}
        declared = headers.get("content-length")
        body = Body(
            declared=None if raw.headers.get("Transfer-Encoding") else int(declared or 0),
            content_type=headers.get("content-type", ""),
        )
        if headers.get("content-encoding", "identity") not in ("", "identity"):
            body.declared = None  # aiohttp decodes; the decoded length is not known beforehand
        if raw.can_read_body:
            if headers.get("expect", "").lower() == "100-continue" and raw.transport is not None:
                raw.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body.path, body.size = await self._spool(raw)
        if self.context and not path.startswith(CONTROL):
            inside = path == self.context or path.startswith(self.context + "/")
            # Another path belongs to no application of the imitated server: nothing is there.
            path = (path[len(self.context) :] or "/") if inside else f"/outside{path}"
        base = f"{raw.scheme}://{raw.host}{self.context}"
        return Request(
            raw.method, path, Params.parse(query), headers, body, base=base, context=self.context
        )

    async def _spool(self, raw: web.BaseRequest) -> tuple[Path, int]:
        handle, name = tempfile.mkstemp(dir=self.state.tmp, prefix="body-")
        size = 0
        try:
            with open(handle, "wb", buffering=0) as file:
                async for chunk in raw.content.iter_any():
                    file.write(chunk)
                    size += len(chunk)
        except BaseException:  # the client went away, or the server stops
            os.unlink(name)
            raise
        return Path(name), size

    # in a worker thread -------------------------------------------------------------------------

    def work(self, request: Request) -> Answer:
        """Everything between the request and its answer; never raises."""
        plain = not request.path.startswith(("/data", "/REST"))
        try:
            answer = self._dispatch(request)
        except Refusal as refusal:
            answer = self._refuse(refusal, plain)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            self.errors.append(error)
            answer = Answer.text("", 500) if plain else Answer.page(500)
        answer.cookies += self.access.cookies(request)
        if not plain:
            answer.headers.append(("Vary", VARY))
            if self.state.preferences["allowRange"]:
                answer.headers.append(("Accept-Ranges", "bytes"))
            else:
                answer.ranges = False
        return answer

    @staticmethod
    def _refuse(refusal: Refusal, plain: bool) -> Answer:
        if plain:
            return Answer.text(refusal.message or "", refusal.status)
        if refusal.status == 204:
            return Answer(status=204, content_type=None)
        return Answer(
            status=refusal.status,
            body=status_page(refusal.status, refusal.message),
            content_type="text/html",
        )

    def _dispatch(self, request: Request) -> Answer:
        self._tunnel(request)
        match = self.router.match(request.path)
        route = None if match is None else match.route(request.method)
        if not request.path.startswith(CONTROL):
            refusal = self.access.check(request, open_address=route is not None and route.open)
            if refusal is not None:
                return refusal
        if match is None:
            raise Refusal(404)
        if route is None:
            raise Refusal(405)
        request.variables = match.variables(route)
        request.remainder = match.remainder
        return route.handler(request, self.state)

    @staticmethod
    def _tunnel(request: Request) -> None:
        """Restlet's tunnel: `method=` on POST, Accept overrides (wire contract A 0.2)."""
        if not request.path.startswith(("/data", "/REST")):
            return
        method = request.query.raw("method")
        if method and request.method == "POST":
            request.method = method.upper()
        for key, header in TUNNEL.items():
            value = request.query.raw(key)
            if value:
                request.headers = {**request.headers, header: value}
