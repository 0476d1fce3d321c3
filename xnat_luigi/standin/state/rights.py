"""Who may do what: site role, project role, access level of the project."""

from __future__ import annotations

from .items import Item, Items
from .store import Store
from .users import User, Users

__all__ = ["LOCKED", "Rights"]

LOCKED = "locked"
_GRANTS = {
    "owner": {"read", "create", "edit", "delete", "manage"},
    "member": {"read", "create", "edit"},
    "collaborator": {"read"},
}


class Rights:
    """Answers `may(user, action, project)`; actions are read, create, edit, delete, manage."""

    def __init__(self, store: Store, users: Users, items: Items) -> None:
        self.store = store
        self.users = users
        self.items = items

    def code(self, project: str, name: str, default: str) -> str:
        """A project's setting: accessibility, prearchive_code, quarantine_code, current_arc."""
        value = self.store.value(
            "SELECT value FROM project_code WHERE project = ? AND name = ?", project, name
        )
        return default if value is None else str(value)

    def set_code(self, project: str, name: str, value: str) -> None:
        """Changes a project's setting."""
        self.store.insert(
            "INSERT OR REPLACE INTO project_code(project, name, value) VALUES(?,?,?)",
            project,
            name,
            value,
        )

    def accessibility(self, project: str) -> str:
        """public, protected or private (the default)."""
        return self.code(project, "accessibility", "private")

    def is_admin(self, login: str) -> bool:
        """Whether the account is a site administrator."""
        user = self.users.get(login)
        return user is not None and user.admin

    def sees_all(self, login: str) -> bool:
        """Site administrators and those with access to all data."""
        user = self.users.get(login)
        return user is not None and (user.admin or user.data_access in ("read", "all"))

    def may(self, login: str, action: str, project: str) -> bool:
        """Whether `login` may do `action` with the data of `project`."""
        return self._may(self.users.get(login), login, action, project)

    def _may(self, user: User | None, login: str, action: str, project: str) -> bool:
        if user is not None:
            if user.admin or user.data_access == "all":
                return True
            if user.data_access == "read" and action == "read":
                return True
            if action in _GRANTS.get(self.users.role(project, login), ()):
                return True
        return action == "read" and self.accessibility(project) == "public"

    def may_item(self, login: str, action: str, item: Item) -> bool:
        """Whether `login` may do `action` with an item: in its project or one it is shared into.

        Through a share an item can be read, not changed.
        """
        if item.kind == "project":
            return self.may(login, action, item.id)
        if action in ("edit", "delete") and self._locked(item):
            return False
        if self.may(login, action, item.project):
            return True
        if action != "read":
            return False
        top: Item | None = item
        while top is not None and top.kind not in ("subject", "project"):
            if any(self.may(login, "read", project) for project, _ in self.items.shares(top)):
                return True
            top = self.items.by_pk(top.parent)
        return top is not None and any(
            self.may(login, "read", project) for project, _ in self.items.shares(top)
        )

    def _locked(self, item: Item) -> bool:
        """Whether the item, or the session it belongs to, has been locked (A 5.2, `_lock`)."""
        top = self.items.session_of(item) if item.kind != "subject" else item
        return item.status == LOCKED or (top is not None and top.status == LOCKED)

    def readable_projects(self, login: str) -> set[str] | None:
        """IDs of the projects whose data `login` may read; None means every one."""
        return self._projects(login, "read")

    def editable_projects(self, login: str) -> set[str] | None:
        """IDs of the projects whose data `login` may edit; None means every one."""
        return self._projects(login, "edit")

    def _projects(self, login: str, action: str) -> set[str] | None:
        user = self.users.get(login)
        if user is not None and (
            user.admin or user.data_access == "all" or (user.data_access and action == "read")
        ):
            return None
        return {
            project.id
            for project in self.items.all("project")
            if self._may(user, login, action, project.id)
        }
