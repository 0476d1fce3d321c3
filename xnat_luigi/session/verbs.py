"""The HTTP verbs of a session, for what the objects do not cover (S-056 to S-075)."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from ..connection.address import origin_of
from ..connection.answer import Wait
from ..connection.transport import encode_multipart
from ..exceptions import XNATResponseError
from .addresses import read_address, servers_of

if TYPE_CHECKING:
    import requests

    from ..connection.login import Answer, Connection

__all__ = ["Verbs"]

Timeout = float | tuple[float | None, float | None] | None
_ANY = tuple(range(200, 600))
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5


class Verbs:
    """What answers and waits; `BaseXNATSession` adds the objects.

    Attributes
    ----------
    accepted_status_get, accepted_status_post, accepted_status_put, accepted_status_delete : list
        The statuses that are no error; can be changed (S-062, F-07).
    skip_response_check : bool
        Take every status.
    skip_response_content_check : bool
        Take web pages where data were due, too.
    request_timeout : float or tuple
        Seconds in which something has to be received; a tuple is (to connect, to receive).
    """

    connection: Connection
    server: str
    request_timeout: Timeout

    def __init__(self) -> None:
        self.accepted_status_get: list[int] = [200]
        self.accepted_status_post: list[int] = [200, 201]
        self.accepted_status_put: list[int] = [200, 201]
        self.accepted_status_delete: list[int] = [200]
        self.skip_response_check = False
        self.skip_response_content_check = False

    def get(
        self,
        path: str,
        format: str | None = None,
        query: Mapping[str, Any] | None = None,
        accepted_status: Sequence[int] | None = None,
        timeout: Timeout = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """GET a path of the server.

        Parameters
        ----------
        path : str
            A REST path such as `/data/projects`, or a full uri of this server.
        format : str, optional
            Added to the query as `format`.
        query : mapping, optional
            Added to the query.
        accepted_status : sequence of int, optional
            Statuses that are no error, in place of `accepted_status_get`.
        timeout : float or (float, float), optional
            Seconds in which something has to be received, or (to connect, to receive).
        headers : mapping, optional
            Further headers.

        Returns
        -------
        requests.Response

        Raises
        ------
        XNATResponseError
            Another status, or a web page where data were due.
        XNATConnectionError
            No answer, after as many tries as the policy allows.
        """
        accepted = accepted_status or self.accepted_status_get
        return self._ask("GET", path, accepted, query, format, timeout, headers, follow=True)

    def head(
        self,
        path: str,
        accepted_status: Sequence[int] | None = None,
        allow_redirects: bool = False,
        timeout: Timeout = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """HEAD a path of the server, see `get`.

        Parameters
        ----------
        allow_redirects : bool
            Follow redirects on this server; the login never goes to another one.
        """
        accepted = accepted_status or self.accepted_status_get
        return self._ask(
            "HEAD", path, accepted, None, None, timeout, headers, follow=allow_redirects
        )

    def post(
        self,
        path: str,
        data: Any = None,
        json: Any = None,
        format: str | None = None,
        query: Mapping[str, Any] | None = None,
        accepted_status: Sequence[int] | None = None,
        timeout: Timeout = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """POST to a path of the server, see `get`. Sent once: what may have worked is not repeated.

        Parameters
        ----------
        data : mapping, bytes, str or binary file, optional
            A mapping is sent as a form.
        json : object, optional
            Sent as JSON, in place of `data`.

        Raises
        ------
        XNATUnclearError
            The answer was lost; the server may have done it.
        """
        accepted = accepted_status or self.accepted_status_post
        return self._ask(
            "POST", path, accepted, query, format, timeout, headers, data=data, json=json
        )

    def put(
        self,
        path: str,
        data: Any = None,
        files: Any = None,
        json: Any = None,
        format: str | None = None,
        query: Mapping[str, Any] | None = None,
        accepted_status: Sequence[int] | None = None,
        timeout: Timeout = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """PUT to a path of the server, see `get` and `post`.

        Parameters
        ----------
        files : mapping, optional
            For a multipart upload: name to open file, or name to a tuple of file name, open file,
            content type and headers (the last two may be left out).
        """
        accepted = accepted_status or self.accepted_status_put
        return self._ask(
            "PUT",
            path,
            accepted,
            query,
            format,
            timeout,
            headers,
            data=data,
            json=json,
            files=files,
        )

    def delete(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        accepted_status: Sequence[int] | None = None,
        query: Mapping[str, Any] | None = None,
        timeout: Timeout = None,
    ) -> requests.Response:
        """DELETE a path of the server, see `get`."""
        accepted = accepted_status or self.accepted_status_delete
        return self._ask("DELETE", path, accepted, query, None, timeout, headers)

    def get_json(
        self,
        uri: str,
        query: Mapping[str, Any] | None = None,
        accepted_status: Sequence[int] | None = None,
    ) -> Any:
        """GET as JSON, parsed (S-073).

        A resource, whose address the server answers with a catalog whatever is asked for, is read
        from the listing it stands in, and has the form of an item (S-074).

        Raises
        ------
        XNATResponseError
            The answer is no JSON, or not accepted.
        """
        path, _ = read_address(servers_of(self), uri)
        folder, _, name = path.rstrip("/").rpartition("/")
        if folder.endswith("/resources"):
            return self._resource_item(folder, name)
        accepted = accepted_status or self.accepted_status_get
        return self._answer("GET", uri, accepted, query, "json", None, None, follow=True).json()

    # ------------------------------------------------------------------------------------------

    def _ask(self, *args: Any, **kwargs: Any) -> requests.Response:
        return self._answer(*args, **kwargs).response

    def _answer(
        self,
        method: str,
        path: str,
        accepted: Sequence[int],
        query: Mapping[str, Any] | None,
        format: str | None,
        timeout: Timeout,
        headers: Mapping[str, str] | None,
        *,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        follow: bool = False,
    ) -> Answer:
        address, pairs = read_address(servers_of(self), path, query, format)
        sent = dict(headers or {})
        body, form = _body_of(data, json, files, sent)
        statuses = _ANY if self.skip_response_check else tuple(accepted)
        wait = self.request_timeout if timeout is None else timeout
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self.connection.request(
                method,
                address,
                query=pairs or None,
                headers=sent,
                body=body,
                form=form,
                accepted=(*statuses, *_REDIRECTS) if follow else statuses,
                html=self.skip_response_content_check,
                wait=Wait.LISTING if wait is None else wait,
            )
            if not follow or answer.status not in _REDIRECTS:
                return answer
            address, pairs = self._next(answer)
        raise XNATResponseError(
            f"{method} {self.server}{path}: more than {_MOST_REDIRECTS} redirects",
            method=method,
            path=path,
        )

    def _next(self, answer: Answer) -> tuple[str, list[tuple[str, str]]]:
        """The path that a redirect names, if it is on this server: the login goes nowhere else."""
        named = answer.headers.get("Location", "")
        target = urljoin(self.server + answer.path, named)
        base = urlsplit(self.server).path
        if named and origin_of(target) == origin_of(self.server):
            parts = urlsplit(target)
            if parts.path.startswith(base + "/"):
                return parts.path[len(base) :], parse_qsl(parts.query, keep_blank_values=True)
        where = f"to {target.partition('?')[0]}" if named else "without a Location"
        raise XNATResponseError(
            f"{answer.method} {self.server}{answer.path}: {answer.status}, a redirect {where}, "
            "which is not followed: your login is for this server only",
            status=answer.status,
            method=answer.method,
            path=answer.path,
        )

    def _resource_item(self, folder: str, name: str) -> dict[str, Any]:
        document = self.get(folder, format="json").json()
        for row in document["ResultSet"]["Result"]:
            if name in (row.get("xnat_abstractresource_id"), row.get("label")):
                meta = {"xsi:type": row.get("element_name"), "isHistory": False}
                fields = {key: value for key, value in row.items() if key != "element_name"}
                return {"items": [{"children": [], "meta": meta, "data_fields": fields}]}
        raise XNATResponseError(
            f"GET {self.server}{folder}: no resource {name!r} in this listing",
            status=404,
            method="GET",
            path=f"{folder}/{name}",
        )


def _body_of(data: Any, json: Any, files: Any, headers: dict[str, str]) -> tuple[Any, Any]:
    """Body and form of a request; the Content-Type that they need is set, if none is."""
    if files:
        body, kind = encode_multipart(files, data)
        headers["Content-Type"] = kind  # names the boundary
        return body, None
    if json is not None and data is None:
        headers.setdefault("Content-Type", "application/json")
        return json_format.dumps(json).encode("utf-8"), None
    if isinstance(data, Mapping):
        pairs = []
        for key, value in data.items():
            values = value if isinstance(value, (list, tuple)) else (value,)
            pairs += [(str(key), str(one)) for one in values if one is not None]
        return None, pairs
    if isinstance(data, str):
        return data.encode("utf-8"), None
    return data, None
