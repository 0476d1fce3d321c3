"""Alias tokens: a name and a secret that stand for a user (wire contract B 8)."""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import State

__all__ = ["Token", "Tokens"]

TABLES = """
CREATE TABLE IF NOT EXISTS token(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, alias TEXT NOT NULL UNIQUE, secret TEXT NOT NULL,
  login TEXT NOT NULL, single_use INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
  expires REAL NOT NULL);
"""
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


@dataclass(frozen=True)
class Token:
    """One token; its secret is not in its repr."""

    pk: int
    alias: str
    secret: str
    login: str
    single_use: bool
    created: float
    expires: float

    def __repr__(self) -> str:
        return f"Token(alias={self.alias!r}, login={self.login!r})"

    def document(self) -> dict[str, Any]:
        """As the service shows it; times are milliseconds since the epoch."""
        return {
            "id": self.pk,
            "alias": self.alias,
            "secret": self.secret,
            "xdatUserId": self.login,
            "singleUse": self.single_use,
            "estimatedExpirationTime": int(self.expires * 1000),
            "created": int(self.created * 1000),
            "timestamp": int(self.created * 1000),
            "enabled": True,
            "disabled": 0,
        }


class Tokens:
    """Issuing and checking; life is the site's `aliasTokenTimeout` (2 days)."""

    def __init__(self, state: State) -> None:
        self.store = state.store
        self.clock = state.clock
        self.preferences = state.preferences
        self.store.declare(TABLES)

    def issue(self, login: str, *, single_use: bool = False) -> Token:
        """A new token, every time."""
        now = self.clock.time()
        alias = str(uuid.uuid4())
        self.store.insert(
            "INSERT INTO token(alias, secret, login, single_use, created, expires)"
            " VALUES(?,?,?,?,?,?)",
            alias,
            secrets.token_urlsafe(32),
            login,
            int(single_use),
            now,
            now + self.life(),
        )
        token = self.find(alias)
        assert token is not None
        return token

    def life(self) -> float:
        """Seconds that a token lives."""
        text = str(self.preferences.get("aliasTokenTimeout", "2 days"))
        found = re.fullmatch(r"\s*(\d+)\s*([a-z]+?)s?\s*", text)
        if found is None or found[2] not in _UNITS:
            return 2.0 * _UNITS["day"]
        return float(found[1]) * _UNITS[found[2]]

    def find(self, alias: str) -> Token | None:
        """A living token by alias."""
        row = self.store.row(
            "SELECT * FROM token WHERE alias = ? AND expires > ?", alias, self.clock.time()
        )
        return (
            None if row is None else Token(**{**dict(row), "single_use": bool(row["single_use"])})
        )

    def of(self, login: str) -> list[Token]:
        """The living tokens of a user, oldest first."""
        rows = self.store.rows(
            "SELECT alias FROM token WHERE login = ? AND expires > ? ORDER BY pk",
            login,
            self.clock.time(),
        )
        found = (self.find(row["alias"]) for row in rows)
        return [token for token in found if token is not None]

    def check(self, alias: str, secret: str) -> str | None:
        """The login behind a right pair, or None; a single-use token is used up."""
        token = self.find(alias)
        if token is None or not hmac.compare_digest(token.secret.encode(), secret.encode()):
            return None
        if token.single_use:
            self.remove(alias)
        return token.login

    def remove(self, alias: str) -> None:
        self.store.change("DELETE FROM token WHERE alias = ?", alias)
