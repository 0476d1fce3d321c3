"""The tree of errors. Everything this package raises on purpose is a `XNATError`.

::

    XNATError                                  1
      XNATValueError (ValueError)              2   an argument cannot be used
        XNATConfigError                        2   settings, policy, netrc file
        XNATUnsafeNameError                    2   a label, file name or path that is refused
      XNATConnectionError                      5   no answer
        XNATTimeoutError                       5   the answer came too slowly
        XNATSSLError                           5   the certificate is not trusted
      XNATUnclearError                         5   it may have worked: look before asking again
      XNATResponseError                        1   an answer that was not accepted
        XNATNotFoundError                      3   404
        XNATForbiddenError                     6   403
        XNATConflictError                      1   409
        XNATUnavailableError                   5   408, 425, 429, 502, 503, 504, after all tries
        XNATPageError                          1   a web page where data was due
      XNATAuthError (ValueError)               6   everything around the login
        XNATLoginFailedError                   6   wrong user or password, or the login was lost
        XNATExpiredCredentialsError            6   the password must be renewed
        XNATNotConnectedError                  6   the session was closed
      XNATIOError (IOError)                    1   reading or writing locally
        XNATLockError                          9   somebody else holds the lock
      XNATUploadError                          1   an upload was refused or cannot be proven
      XNATIntegrityError                       7   bytes are not what they should be
      XNATObjectDestroyedError                 1   the object was deleted on the server

The number is `exit_status`, the status with which the command line ends. The names up to
`XNATObjectDestroyedError` in fact F-08 of the seed are those of the documented client; the others
stand below them.

Messages say what was tried, where, and what to do; they never hold a password, a cookie or a token.
"""

from __future__ import annotations

__all__ = [
    "XNATAuthError",
    "XNATConfigError",
    "XNATConflictError",
    "XNATConnectionError",
    "XNATError",
    "XNATExpiredCredentialsError",
    "XNATForbiddenError",
    "XNATIOError",
    "XNATIntegrityError",
    "XNATLockError",
    "XNATLoginFailedError",
    "XNATNotConnectedError",
    "XNATNotFoundError",
    "XNATObjectDestroyedError",
    "XNATPageError",
    "XNATResponseError",
    "XNATSSLError",
    "XNATTimeoutError",
    "XNATUnavailableError",
    "XNATUnclearError",
    "XNATUnsafeNameError",
    "XNATUploadError",
    "XNATValueError",
]


class XNATError(Exception):
    """The root of all errors of this package."""

    exit_status: int = 1


class XNATValueError(XNATError, ValueError):
    """An argument cannot be used; nothing was sent."""

    exit_status = 2


class XNATConfigError(XNATValueError):
    """A setting is wrong: an address, a number of the policy, a netrc file."""


class XNATUnsafeNameError(XNATValueError):
    """A label, file name or path is refused before anything is written or sent."""


class XNATConnectionError(XNATError):
    """The server gave no answer, or the answer broke off."""

    exit_status = 5


class XNATTimeoutError(XNATConnectionError):
    """The answer did not begin, stood still, or came too slowly."""


class XNATSSLError(XNATConnectionError):
    """The encrypted connection could not be made, as a rule because of the certificate."""


class XNATUnclearError(XNATError):
    """A request that must not be repeated was sent, and whether it worked is unknown.

    Ask the server what is there before doing it again. `status` is the status of the answer
    that said so little (a proxy's 502, 503 or 504), or None when no answer came.
    """

    exit_status = 5

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class XNATResponseError(XNATError):
    """The server answered with something that was not accepted.

    Attributes
    ----------
    status : int or None
        The HTTP status.
    method, path : str
        What was asked, without its query.
    detail : str
        The server's own words, at most 200 characters.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        method: str = "",
        path: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.method = method
        self.path = path
        self.detail = detail

    @property
    def status_code(self) -> int | None:
        """The same as `status`, by the name of newer releases of the official client."""
        return self.status


class XNATNotFoundError(XNATResponseError):
    """404. Whether it means «absent» is decided by `rest.absence`, not by this."""

    exit_status = 3


class XNATForbiddenError(XNATResponseError):
    """403: the server knows us and says no."""

    exit_status = 6


class XNATConflictError(XNATResponseError):
    """409: it is there already, or somebody works on it."""


class XNATUnavailableError(XNATResponseError):
    """408, 425, 429, 502, 503 or 504, and all tries are used up."""

    exit_status = 5


class XNATPageError(XNATResponseError):
    """A web page (a login page, an error page) where data was due."""


class XNATAuthError(XNATError, ValueError):
    """Everything around the login."""

    exit_status = 6


class XNATLoginFailedError(XNATAuthError):
    """The server does not take user and password, or does not know the login any more."""


class XNATExpiredCredentialsError(XNATAuthError):
    """The password has expired and must be renewed on the server's web page."""


class XNATNotConnectedError(XNATAuthError):
    """The session was closed."""


class XNATIOError(XNATError, OSError):
    """Reading or writing local files failed."""


class XNATLockError(XNATIOError):
    """Another process holds the lock; the message names it."""

    exit_status = 9


class XNATUploadError(XNATError):
    """An upload was refused, or the server does not show what was sent."""


class XNATIntegrityError(XNATError):
    """Bytes, sizes or digests are not what they should be."""

    exit_status = 7


class XNATObjectDestroyedError(XNATError):
    """The object was deleted on the server."""
