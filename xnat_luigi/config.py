"""Settings: numbers of waiting and retrying, and what the environment says.

Only data; reading it opens no file and no socket.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .exceptions import XNATConfigError

__all__ = ["ENVIRONMENT", "Policy", "Settings"]

ENVIRONMENT = {
    "server": "XNAT_LUIGI_SERVER",
    "user": "XNAT_LUIGI_USER",
    "password": "XNAT_LUIGI_PASSWORD",
    "netrc": "NETRC",
    "verify": "XNAT_LUIGI_VERIFY",
    "attempts": "XNAT_LUIGI_ATTEMPTS",
    "timeout": "XNAT_LUIGI_TIMEOUT",
}
"""The environment variables that are read. `XNAT_LUIGI_VERIFY` is `false` or `0` to skip the check
of certificates, or the path of a file of certificates; `XNAT_LUIGI_ATTEMPTS` and
`XNAT_LUIGI_TIMEOUT` change the policy; those of the login are described in
`connection/credentials.py`.
"""


@dataclass(frozen=True)
class Policy:
    """Numbers of waiting, retrying and bounds; all times in seconds.

    The defaults are the house's policy: five attempts, waits of `min(30, 0.5 * 2**(n-1))` with
    jitter and 120 s of waiting at most, a gap of 60 s and 1 KiB/s inside a body.
    """

    connect: float = 10.0
    """until a connection stands"""
    listing: float = 300.0
    """until the first byte of a listing or an item"""
    transfer: float = 600.0
    """until the first byte of a zip or file, or of the answer to a rename, delete or upload"""
    archive: float = 630.0
    """until the first byte of the answer to an archive job (the server itself waits 600 s)"""
    gap: float = 60.0
    """the longest silence inside a body"""
    rate: float = 1024.0
    """bytes per second that a body must reach, counted over `gap` seconds"""
    attempts: int = 5
    """tries of a request that may be repeated"""
    first_wait: float = 0.5
    longest_wait: float = 30.0
    total_wait: float = 120.0
    """all waits of one request together; a `Retry-After` beyond it fails at once"""
    largest_answer: int = 1 << 30
    """bytes of an answer that is held in memory (a listing); more is an error"""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise XNATConfigError(f"policy: {name} must be above 0, not {value!r}")


@dataclass(frozen=True)
class Settings:
    """What the environment says. The password is no part of it; credentials read it themselves."""

    server: str | None = None
    user: str | None = None
    netrc_file: str | None = None
    verify: bool | str = True
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables (see `ENVIRONMENT`).

        Raises
        ------
        XNATConfigError
            A number is no number.
        """
        source = os.environ if environ is None else environ

        def get(name: str) -> str | None:
            return source.get(ENVIRONMENT[name]) or None

        timeout = _number(get("timeout"), ENVIRONMENT["timeout"])
        attempts = _number(get("attempts"), ENVIRONMENT["attempts"])
        policy = Policy(
            listing=timeout or Policy.listing,
            transfer=max(timeout, Policy.transfer) if timeout else Policy.transfer,
            attempts=int(attempts) if attempts else Policy.attempts,
        )
        return cls(
            server=get("server"),
            user=get("user"),
            netrc_file=get("netrc"),
            verify=_verify(get("verify")),
            policy=policy,
        )


def _number(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise XNATConfigError(f"{name}={text!r} is not a number") from None
    if not value > 0 or value == float("inf"):
        raise XNATConfigError(f"{name}={text!r} must be above 0")
    return value


def _verify(text: str | None) -> bool | str:
    if text is None or text.lower() in {"1", "true", "yes"}:
        return True
    if text.lower() in {"0", "false", "no"}:
        return False
    return text
