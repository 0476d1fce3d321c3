"""One request as it can be sent again, and the errors that answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from ..config import Policy
from ..exceptions import (
    XNATConflictError,
    XNATForbiddenError,
    XNATNotFoundError,
    XNATPageError,
    XNATResponseError,
    XNATUnavailableError,
    XNATUnclearError,
)
from .address import shown
from .answer import Answer, Wait, detail_of
from .retry import RETRIED
from .transport import Body, Query

__all__ = ["Sending", "Timeout", "elsewhere", "page_error", "refusal", "unclear"]

Timeout = Wait | float | tuple[float | None, float | None]
"""a row of the policy, or seconds of silence, or (seconds to connect, seconds of silence)"""

_ELSEWHERE = (301, 302, 303, 307, 308)
_CLASSES = {404: XNATNotFoundError, 403: XNATForbiddenError, 409: XNATConflictError}


class Sending:
    """One request: what is sent, and whether its body can be sent a second time."""

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        form: Query | None = None,
        wait: Timeout = Wait.LISTING,
        again: bool | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.form = form
        self.wait = wait
        self.again = method in ("GET", "HEAD") if again is None else again
        self._start: int | None = None
        if body is not None and hasattr(body, "seek") and hasattr(body, "tell"):
            file = cast(IO[bytes], body)
            try:
                self._start = file.tell()
            except (OSError, ValueError):
                self._start = None  # a pipe

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent a second time."""
        return self.body is None or isinstance(self.body, bytes) or self._start is not None

    def rewind(self) -> bool:
        """Make the body ready to be sent again; False when it cannot be."""
        if self._start is not None:
            cast(IO[bytes], self.body).seek(self._start)
        return self.replayable

    def timeouts(self, policy: Policy) -> dict[str, float | None]:
        """The times of `Transport.send`."""
        if isinstance(self.wait, Wait):
            return {"wait": float(getattr(policy, self.wait.value))}
        if isinstance(self.wait, tuple):
            connect, silence = self.wait
            return {"wait": silence or policy.listing, "connect": connect, "gap": silence}
        return {"wait": float(self.wait), "gap": float(self.wait)}


def unclear(what: str, status: int | None = None) -> XNATUnclearError:
    """A request that must not be repeated was sent, and its answer is lost."""
    return XNATUnclearError(
        f"{what}. The server may have done it: look before ordering it again", status=status
    )


def refusal(where: str, answer: Answer, until: float | None = None) -> XNATResponseError:
    """The error that a status which is not accepted means.

    `until` are the seconds that the server asks to wait and that are too many.
    """
    status = answer.status
    detail = detail_of(answer.content)
    said = f": {detail}" if detail else ""
    if status in RETRIED:
        kind: type[XNATResponseError] = XNATUnavailableError
        said = (f"; the server asks to wait {until:.0f} s" if until else "") + said
    else:
        kind = _CLASSES.get(status, XNATResponseError)
    if status in _ELSEWHERE:
        where = elsewhere(answer) or "nowhere"
        said = f": it sends us to {where}, which is not followed; is the address right?"
    return kind(f"{where}: {status}{said}", **_facts(answer, detail))


def elsewhere(answer: Answer) -> str:
    """Where a redirect leads, as it may stand in a message; nothing where it is none."""
    if answer.status not in _ELSEWHERE:
        return ""
    return shown(answer.headers.get("Location", ""))[:200]


def page_error(where: str, answer: Answer) -> XNATPageError:
    """A web page where data was due."""
    detail = detail_of(answer.content)
    return XNATPageError(
        f"{where}: {answer.status} with a web page where data was due"
        + (f": {detail}" if detail else ""),
        **_facts(answer, detail),
    )


def _facts(answer: Answer, detail: str) -> dict[str, Any]:
    return {
        "status": answer.status,
        "method": answer.method,
        "path": shown(answer.path),
        "detail": detail,
    }
