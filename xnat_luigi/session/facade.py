"""The session of the documented client (section 1.4.2): where scripts start from.

`connect` makes it; nobody else needs to (S-044).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .. import core, uris
from ..classes import ClassModel
from ..connection.address import check_server
from ..connection.credentials import Credentials
from ..connection.login import Connection
from ..connection.transport import Transport
from ..exceptions import XNATNotConnectedError, XNATNotFoundError, XNATValueError
from ..rest import listings, site
from . import transfers
from .heartbeat import Heartbeat
from .verbs import Timeout, Verbs

if TYPE_CHECKING:
    import requests

    from ..inspect import Inspect
    from ..mixin import ImageSessionData, ProjectData, SubjectData
    from ..prearchive import Prearchive
    from ..schema.records import Model
    from ..services import Services
    from ..transfer.batch import Batch
    from ..users import Users

__all__ = ["BaseXNATSession", "XNATSession"]

Self = TypeVar("Self", bound="BaseXNATSession")
Made = TypeVar("Made")


class BaseXNATSession(Verbs):
    """A session that leaves the login alive on the server when it is disconnected (S-052).

    Made by `connect(..., cli=True)`; see there. Use it in a `with` statement, or call
    `disconnect` at the end.

    Attributes
    ----------
    logger : logging.Logger
        Where messages go.
    caching : bool
        Whether objects and listings keep what they read; true at first.
    request_timeout : float or tuple
        Seconds in which something has to be received, for requests that name no other (S-071).
    debug : bool
        Whether the client's internals are logged too.
    original_uri : str or None
        The address that was given, where the server sent us on to another one.
    """

    def __init__(
        self,
        server: str,
        logger: logging.Logger,
        interface: Connection | None = None,
        user: str | None = None,
        password: str | None = None,
        keepalive: float | None = None,
        debug: bool = False,
        original_uri: str | None = None,
        logged_in_user: str | None = None,
        default_timeout: Timeout = 300,
    ) -> None:
        super().__init__()
        self.server = check_server(server)
        self.logger = logger
        self.debug = debug
        self.original_uri = original_uri
        self.request_timeout = default_timeout
        self.caching = True
        if interface is None:
            credentials = Credentials(user, password) if user and password is not None else None
            interface = Connection(Transport(self.server), credentials)
        self.connection = interface
        self._logged_in_user = logged_in_user
        self._interface: requests.Session | None = None
        self._classes: ClassModel | None = None
        self._version: str | None = None
        self._made: dict[str, Any] = {}
        self._disconnected = False
        self._heartbeat = Heartbeat(interface, logger, interval=keepalive)

    def __repr__(self) -> str:
        state = "disconnected" if self._disconnected else f"as {self.logged_in_user}"
        return f"<{type(self).__name__} {self.server} {state}>"

    # --- its life -----------------------------------------------------------------------------

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """End the session here; the login stays alive on the server (S-052, S-053)."""
        self._disconnect(end_session=False)

    def _disconnect(self, *, end_session: bool) -> None:
        if self._disconnected:
            return
        self._disconnected = True
        self._heartbeat.stop()
        self.connection.close(end_session=end_session)
        self._made.clear()

    def start_heartbeat(self) -> None:
        """Keep the session alive from now on (S-040); `connect` does that."""
        self._heartbeat.start()

    @property
    def keepalive(self) -> float | None:
        """Seconds between two heartbeats; None leaves it to the server's cookie (S-041)."""
        return self._heartbeat.interval

    @keepalive.setter
    def keepalive(self, value: float | None) -> None:
        self._heartbeat.interval = value

    @property
    def logged_in_user(self) -> str:
        """The user that the server takes us for (S-013)."""
        return self._logged_in_user or self.connection.user

    @property
    def JSESSION(self) -> str:  # noqa: N802  (documented name)
        """The id of the login session on the server, for `connect(jsession=...)` (S-047)."""
        return self.connection.session_id

    @property
    def interface(self) -> requests.Session:
        """The session of the HTTP library: logged in and kept alive, nothing is checked (S-075)."""
        if self._interface is None:
            self._interface = self.connection.interface
        return self._interface

    @property
    def session_expiration_time(self) -> tuple[datetime, float] | None:
        """When the server last heard of us, and after how many seconds of silence it ends it.

        None where the server's cookie is absent or cannot be read (S-042, S-043).
        """
        found = self.connection.expiration
        if found is None:
            return None
        stamp, seconds = found
        return datetime.fromtimestamp(stamp, timezone.utc).astimezone(), seconds

    @property
    def xnat_version(self) -> str:
        """The version of the server (S-031)."""
        if self._version is None:
            try:
                self._version = site.get_build_info(self.connection)["version"]
            except XNATNotFoundError:  # XNAT 1.6 (F-04)
                self._version = self.get(uris.VERSION).text.strip()
        return self._version

    # --- objects ------------------------------------------------------------------------------

    @property
    def classes(self) -> ClassModel:
        """The classes made from the server's schemas (S-256)."""
        if self._classes is None:
            raise XNATValueError(
                "this session was opened with no_parse_model=True and has no classes; what needs "
                "them works after connect() without it"
            )
        return self._classes

    def use_model(self, model: Model, version: str | None = None) -> None:
        """Take the records that classes are made of; `connect` does that."""
        self._classes = ClassModel(model, self)
        self._version = version or self._version

    @property
    def projects(self) -> core.XNATListing[ProjectData]:
        """Listing of all projects on the server; also by name."""
        return self._listing("projects", uris.PROJECTS, "name", "xnat:projectData")

    @property
    def subjects(self) -> core.XNATListing[SubjectData]:
        """Listing of all subjects on the server; also by label."""
        return self._listing("subjects", uris.SUBJECTS, "label", "xnat:subjectData")

    @property
    def experiments(self) -> core.XNATListing[ImageSessionData]:
        """Listing of all experiments on the server; also by label."""
        return self._listing("experiments", uris.EXPERIMENTS, "label", "xnat:experimentData")

    @property
    def prearchive(self) -> Prearchive:
        """The prearchive of the server, see `xnat_luigi.prearchive`."""
        from ..prearchive import Prearchive

        return self._once("prearchive", lambda: Prearchive(xnat_session=self))

    @property
    def services(self) -> Services:
        """The services of the server, see `xnat_luigi.services`."""
        from ..services import Services

        return self._once("services", lambda: Services(xnat_session=self))

    @property
    def users(self) -> Users:
        """The registered users, see `xnat_luigi.users`."""
        from ..users import Users

        return self._once("users", lambda: Users(xnat_session=self))

    @property
    def inspect(self) -> Inspect:
        """The data types and fields that can be searched, see `xnat_luigi.inspect`."""
        from ..inspect import Inspect

        return Inspect(self)

    @property
    def scanners(self) -> list[str]:
        """The scanners that the server knows (S-121)."""
        return listings.list_scanners(self._alive)

    @property
    def scan_types(self) -> list[str]:
        """The types of scans that the server knows (S-121)."""
        return listings.list_scan_types(self._alive)

    def create_object(
        self, uri: str, type_: str | None = None, fieldname: str | None = None, **kwargs: Any
    ) -> Any:
        """Return the object behind an address; nothing is made on the server (S-109).

        Parameters
        ----------
        uri : str
            A path such as `/data/experiments/ID`, or a full uri of this server.
        type_ : str, optional
            Its xsi type; looked up when left out.
        fieldname : str, optional
            The field by which it was reached.
        kwargs
            Handed on to the object.

        Raises
        ------
        XNATNotFoundError
            There is nothing at that address.
        XNATValueError
            No schema of the server describes its type.
        """
        return core.create_object(self, uri, type_, fieldname, **kwargs)

    def url_for(
        self, obj: Any, query: Mapping[str, str] | None = None, scheme: str | None = None
    ) -> str:
        """Return the address of an object for a browser or another program.

        Parameters
        ----------
        query : mapping, optional
            What goes behind a `?`.
        scheme : str, optional
            In place of the server's own, `https` for example.
        """
        return core.external_url(self, obj, query, scheme)

    def clearcache(self) -> None:
        """Forget what the listings of this session have read (S-127)."""
        core.clear_listings(self)
        if "users" in self._made:
            self._made["users"].clearcache()

    # --- bytes --------------------------------------------------------------------------------

    def download(
        self,
        uri: str,
        target: str | os.PathLike[str],
        format: str | None = None,
        verbose: bool = True,
        timeout: Timeout = None,
    ) -> str:
        """Download an address to a file, which has its name only when it is whole; return its path.

        Parameters
        ----------
        format : str, optional
            Added to the query as `format`.
        verbose : bool
            Show a progress bar on a terminal.
        timeout : float or (float, float), optional
            Seconds in which something has to be received, or (to connect, to receive).

        Raises
        ------
        XNATIntegrityError
            What came is not what the listing says.
        """
        return transfers.download(self, uri, target, format, verbose, timeout)

    def download_zip(
        self,
        uri: str,
        target: str | os.PathLike[str],
        verbose: bool = True,
        timeout: Timeout = None,
    ) -> str:
        """Download a listing of files as one zip, see `download`."""
        return transfers.download_zip(self, uri, target, verbose, timeout)

    def download_stream(
        self,
        uri: str,
        target_stream: Any,
        format: str | None = None,
        verbose: bool = False,
        chunk_size: int = transfers.CHUNK,
        update_func: Callable[[int, int | None, bool], Any] | None = None,
        timeout: Timeout = None,
    ) -> None:
        """Download an address to an open binary file, see `download`.

        Parameters
        ----------
        chunk_size : int
            Bytes that are written at a time.
        update_func : callable, optional
            Called with the bytes so far, the total (None when unknown), and whether that was the
            end, be it success or failure.
        """
        transfers.download_stream(
            self, uri, target_stream, format, verbose, chunk_size, update_func, timeout
        )

    def batch_download(
        self,
        target_directory: str | os.PathLike[str],
        project: str | None = None,
        subject: str | None = None,
        experiment: str | None = None,
        scan: str | None = None,
        resource: str | None = None,
        use_regex: bool = False,
        layout: str = "documented",
    ) -> Batch:
        """Download what fits patterns into TARGET/PROJECT/SUBJECT/EXPERIMENT/...

        So newer releases of the official client call it. Every file is compared with the server's
        listing; what lies there already and is equal is not downloaded again.

        Parameters
        ----------
        project, subject, experiment, scan, resource : str, optional
            Globs for the ID of the project, labels or IDs of subjects and experiments, types or
            IDs of scans, labels of resources.
        use_regex : bool
            They are regular expressions, which must fit as a whole.
        layout : str
            How files lie, see `transfer.layout.place`.

        Raises
        ------
        XNATNotFoundError
            No project fits.
        XNATIntegrityError
            Some sessions could not be downloaded; all others were. The message names them.
        """
        from ..transfer.batch import download_all

        patterns = {
            name: None if pattern is None else (f"re:{pattern}" if use_regex else pattern)
            for name, pattern in (
                ("project", project),
                ("subject", subject),
                ("experiment", experiment),
                ("scan", scan),
                ("resource", resource),
            )
        }
        return download_all(self.connection, target_directory, patterns, layout)

    def upload(
        self,
        uri: str,
        file_: Any,
        retries: int = 1,
        query: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        method: str = "put",
        overwrite: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Upload an open file, the file at a path, or a text of data; return the response.

        Parameters
        ----------
        retries : int
            How often it is tried; what may have worked is sent again only with `overwrite`.
        content_type : str, optional
            `application/octet-stream` otherwise.
        method : str
            `put` or `post`.
        overwrite : bool
            Replace what is there.

        Raises
        ------
        XNATUploadError
            It is there already, or the server did not take it.
        """
        return transfers.upload(
            self, uri, file_, retries, query, content_type, method, overwrite, timeout
        )

    # ------------------------------------------------------------------------------------------

    @property
    def _alive(self) -> Connection:
        if self._disconnected:
            raise XNATNotConnectedError(f"the session with {self.server} was disconnected")
        return self.connection

    def _once(self, name: str, make: Callable[[], Made]) -> Made:
        """The same object at each call, while the session lives."""
        if self._disconnected:
            raise XNATNotConnectedError(f"the session with {self.server} was disconnected")
        if name not in self._made:
            self._made[name] = make()
        found: Made = self._made[name]
        return found

    def _listing(self, name: str, uri: str, lookup: str, xsi_type: str) -> core.XNATListing[Any]:
        def make() -> core.XNATListing[Any]:
            return core.XNATListing(
                uri=uri,
                xnat_session=self,
                field_name=name,
                secondary_lookup_field=lookup,
                xsi_type=xsi_type,
            )

        return self._once(name, make)


class XNATSession(BaseXNATSession):
    """The session that `connect` makes: it ends the login when it is disconnected (S-051)."""

    def disconnect(self) -> None:
        """End the session here and on the server; a use of it raises afterwards (S-037, S-039)."""
        self._disconnect(end_session=True)
