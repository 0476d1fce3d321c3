"""The registered users of a server (S-122, S-123)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .rest.listings import list_users
from .rest.records import User as Record

__all__ = ["User", "Users"]


class User:
    """A registered user.

    Parameters
    ----------
    data : mapping
        `login`, `xdat_user_id`, `email`, `firstname`, `lastname`, as the server lists them (B 8).
    """

    def __init__(self, data: Mapping[str, str]) -> None:
        self._data = dict(data)

    def __repr__(self) -> str:
        name = " ".join(part for part in (self.first_name, self.last_name) if part)
        return f"<User {self.login}{f' ({name})' if name else ''}>"

    @property
    def data(self) -> dict[str, str]:
        """What the server says about the user."""
        return self._data

    @property
    def id(self) -> str:
        """The id of the user."""
        return self._data.get("xdat_user_id", "")

    @property
    def login(self) -> str:
        """The login name of the user."""
        return self._data.get("login", "")

    @property
    def email(self) -> str:
        """The email of the user."""
        return self._data.get("email", "")

    @property
    def first_name(self) -> str:
        """The first name of the user."""
        return self._data.get("firstname", "")

    @property
    def last_name(self) -> str:
        """The last name of the user."""
        return self._data.get("lastname", "")


class Users(Mapping[str, User]):
    """The enabled users by login name, read with one request (B 8).

    Raises
    ------
    XNATForbiddenError
        When it is read and the site shows its users to administrators only.
    """

    def __init__(self, xnat_session: Any) -> None:
        self._session = xnat_session
        self._cache: dict[str, User] | None = None

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def data(self) -> dict[str, User]:
        """The users by login name."""
        if self._cache is None or not self._session.caching:
            rows = list_users(self._session.connection)
            self._cache = {row.login: User(_row(row)) for row in rows}
        return self._cache

    def clearcache(self) -> None:
        """Forget what was read, so that it is read anew."""
        self._cache = None

    def __getitem__(self, login: str) -> User:
        return self.data[login]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Users {', '.join(self.data)}>"


def _row(user: Record) -> dict[str, str]:
    return {
        "login": user.login,
        "xdat_user_id": user.id,
        "email": user.email,
        "firstname": user.first_name,
        "lastname": user.last_name,
    }
