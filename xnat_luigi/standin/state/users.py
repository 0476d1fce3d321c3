"""Accounts, project roles and server sessions."""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from dataclasses import dataclass

from ..clock import Clock
from ..preferences import Preferences
from .store import Store

__all__ = ["ROLES", "User", "Users"]

ROLES = ("owner", "member", "collaborator")
TABLES = """
CREATE TABLE IF NOT EXISTS account(
  login TEXT PRIMARY KEY, number INTEGER, salt TEXT NOT NULL, password TEXT NOT NULL,
  email TEXT NOT NULL DEFAULT '', first_name TEXT NOT NULL DEFAULT '',
  last_name TEXT NOT NULL DEFAULT '', enabled INTEGER NOT NULL DEFAULT 1,
  verified INTEGER NOT NULL DEFAULT 1, admin INTEGER NOT NULL DEFAULT 0,
  data_access TEXT NOT NULL DEFAULT '', expired INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS membership(
  project TEXT NOT NULL, login TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY(project, login));
CREATE TABLE IF NOT EXISTS session(
  id TEXT PRIMARY KEY, login TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS session_login ON session(login);
"""


@dataclass(frozen=True)
class User:
    """An account. `data_access` is "", "read" or "all" (data administrators)."""

    login: str
    number: int = 0
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    enabled: bool = True
    verified: bool = True
    admin: bool = False
    data_access: str = ""
    expired: bool = False


def _hash(salt: str, password: str) -> str:
    # One round: these are throw-away accounts of a test server, and a login must cost nothing.
    return hashlib.sha256(f"{salt}:{password}".encode()).hexdigest()


@dataclass
class _Session:
    """A live session in memory: `used` is exact, `kept` is when the store last heard of it."""

    login: str
    used: float
    kept: float = 0.0


class Users:
    """Accounts and sessions; times come from the injected clock."""

    def __init__(self, store: Store, clock: Clock, preferences: Preferences) -> None:
        self.store = store
        self.clock = clock
        self.preferences = preferences
        self._sessions: dict[str, _Session] = {}
        store.declare(TABLES)

    # accounts -----------------------------------------------------------------------------------

    def add(
        self,
        login: str,
        password: str,
        *,
        admin: bool = False,
        email: str = "",
        first_name: str = "",
        last_name: str = "",
    ) -> User:
        """Creates an account or gives an existing one a new password and role."""
        salt = os.urandom(8).hex()
        self.store.insert(
            "INSERT INTO account"
            "(login, number, salt, password, admin, email, first_name, last_name)"
            " VALUES(?, (SELECT COALESCE(MAX(number), 0) + 1 FROM account), ?,?,?,?,?,?)"
            " ON CONFLICT(login) DO UPDATE SET salt=excluded.salt, password=excluded.password,"
            " admin=excluded.admin",
            login,
            salt,
            _hash(salt, password),
            int(admin),
            email or f"{login}@example.org",
            first_name or login,
            last_name or "User",
        )
        found = self.get(login)
        assert found is not None
        return found

    def get(self, login: str) -> User | None:
        """The account, or None."""
        row = self.store.row("SELECT * FROM account WHERE login = ?", login)
        return None if row is None else _user(row)

    def all(self) -> list[User]:
        """Every account by name."""
        return [_user(row) for row in self.store.rows("SELECT * FROM account ORDER BY login")]

    def set(self, login: str, **values: object) -> None:
        """Changes columns of an account: email, first_name, last_name, enabled, verified, admin,
        data_access, expired, password."""
        if "password" in values:
            salt = os.urandom(8).hex()
            values = {**values, "salt": salt, "password": _hash(salt, str(values["password"]))}
        known = {row["name"] for row in self.store.rows("PRAGMA table_info(account)")}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"an account has no column {name!r}")
            kept = int(value) if isinstance(value, bool) else value
            self.store.change(f"UPDATE account SET {name} = ? WHERE login = ?", kept, login)

    def check_password(self, login: str, password: str) -> bool:
        """Whether the pair is right and the account may log in; counts failures."""
        row = self.store.row("SELECT * FROM account WHERE login = ?", login)
        if row is None or not row["enabled"]:
            return False
        if row["failures"] >= self.preferences["maxFailedLogins"]:
            return False
        right = hmac.compare_digest(row["password"], _hash(row["salt"], password))
        if not right:
            self.store.change("UPDATE account SET failures = failures + 1 WHERE login = ?", login)
        elif row["failures"]:
            self.store.change("UPDATE account SET failures = 0 WHERE login = ?", login)
        return right

    # roles --------------------------------------------------------------------------------------

    def set_role(self, project: str, login: str, role: str | None) -> None:
        """Makes `login` owner, member or collaborator of `project`, or (None) nothing."""
        if role is None:
            self.store.change(
                "DELETE FROM membership WHERE project = ? AND login = ?", project, login
            )
            return
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role; there are {', '.join(ROLES)}")
        self.store.insert(
            "INSERT OR REPLACE INTO membership(project, login, role) VALUES(?,?,?)",
            project,
            login,
            role,
        )

    def role(self, project: str, login: str) -> str:
        """The role of `login` in `project`, "" for none."""
        role = self.store.value(
            "SELECT role FROM membership WHERE project = ? AND login = ?", project, login
        )
        return role or ""

    def members(self, project: str) -> list[tuple[str, str]]:
        """(login, role) of everybody in a project."""
        rows = self.store.rows(
            "SELECT login, role FROM membership WHERE project = ? ORDER BY login", project
        )
        return [(row["login"], row["role"]) for row in rows]

    # sessions -----------------------------------------------------------------------------------

    def open_session(self, login: str) -> str | None:
        """A new session id (32 upper-case hex digits), or None above `concurrentMaxSessions`."""
        with self.store.writing(counts=False):
            self._expire()
            if login != "guest":
                count = self.store.value("SELECT COUNT(*) FROM session WHERE login = ?", login)
                if count >= self.preferences["concurrentMaxSessions"]:
                    return None
            session = os.urandom(16).hex().upper()
            now = self.clock.time()
            self.store.insert(
                "INSERT INTO session(id, login, created, used) VALUES(?,?,?,?)",
                session,
                login,
                now,
                now,
            )
        return session

    def use_session(self, session: str, *, wait: bool = True) -> str | None:
        """The login of a live session, whose idle time starts anew; None if gone or expired.

        With `wait=False` only what is in memory counts, so that the event loop can ask while
        somebody writes; None then says nothing.
        """
        known = self._sessions.get(session)
        if known is None:
            row = None
            if wait:
                row = self.store.row("SELECT login, used FROM session WHERE id = ?", session)
            if row is None:
                return None
            known = self._sessions.setdefault(session, _Session(row["login"], row["used"]))
        now = self.clock.time()
        if now - known.used > self.preferences["sessionTimeout"]:
            if wait:
                self.close_session(session)
            return None
        known.used = now
        if now - known.kept > 0.5:  # not at every request: a write is dearer than the request
            sql = "UPDATE session SET used = ? WHERE id = ?"
            if self.store.note(sql, now, session, wait=wait):
                known.kept = now
        return known.login

    def close_session(self, session: str) -> None:
        """Ends a session."""
        with self.store.writing(counts=False):
            self.store.change("DELETE FROM session WHERE id = ?", session)
        self._sessions.pop(session, None)

    def close_sessions(self, login: str | None = None) -> int:
        """Ends all sessions of `login`, or everybody's; returns how many."""
        if login is None:
            gone = self.store.change("DELETE FROM session")
        else:
            gone = self.store.change("DELETE FROM session WHERE login = ?", login)
        self._sessions.clear()
        return gone

    def count_sessions(self, login: str) -> int:
        """How many live sessions `login` has."""
        self._expire()
        count: int = self.store.value("SELECT COUNT(*) FROM session WHERE login = ?", login)
        return count

    def _expire(self) -> None:
        oldest = self.clock.time() - self.preferences["sessionTimeout"]
        if self.store.value("SELECT 1 FROM session WHERE used < ? LIMIT 1", oldest):
            self.store.change("DELETE FROM session WHERE used < ?", oldest)
            self._sessions.clear()


def _user(row: sqlite3.Row) -> User:
    return User(
        login=row["login"],
        number=row["number"],
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        enabled=bool(row["enabled"]),
        verified=bool(row["verified"]),
        admin=bool(row["admin"]),
        data_access=row["data_access"],
        expired=bool(row["expired"]),
    )
