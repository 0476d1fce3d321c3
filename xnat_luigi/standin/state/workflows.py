"""Workflow rows: what the server did to an item (`wrk:workflowData`)."""

from __future__ import annotations

from typing import Any

from ..clock import Clock
from .store import Store

__all__ = ["Workflows"]

TABLES = """
CREATE TABLE IF NOT EXISTS workflow(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT NOT NULL, xsi_type TEXT NOT NULL,
  project TEXT NOT NULL DEFAULT '', pipeline TEXT NOT NULL, status TEXT NOT NULL,
  launched TEXT NOT NULL, changed TEXT NOT NULL, user TEXT NOT NULL, type TEXT NOT NULL DEFAULT '',
  category TEXT NOT NULL DEFAULT 'DATA', reason TEXT NOT NULL DEFAULT '',
  comments TEXT NOT NULL DEFAULT '', step TEXT NOT NULL DEFAULT '',
  percent TEXT NOT NULL DEFAULT '', scan_id TEXT NOT NULL DEFAULT '',
  external TEXT NOT NULL DEFAULT '', document TEXT);
CREATE INDEX IF NOT EXISTS workflow_item ON workflow(item_id);
"""
SETTABLE = (
    *("item_id", "xsi_type", "project", "pipeline", "status", "launched", "type", "category"),
    *("reason", "comments", "step", "percent", "scan_id"),
)
OPEN = ("Queued", "Running", "In Progress", "Awaiting Action", "Created")


class Workflows:
    """Opening, completing and finding workflow rows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        store.declare(TABLES)

    def open(
        self,
        item_id: str,
        xsi_type: str,
        pipeline: str,
        *,
        project: str = "",
        user: str = "",
        status: str = "Running",
        type: str = "WEB_SERVICE",
        reason: str = "",
        comments: str = "",
    ) -> int:
        """A new row, by default Running; returns its id (also the event id of the change)."""
        now = self.clock.stamp()
        return self.store.insert(
            "INSERT INTO workflow(item_id, xsi_type, project, pipeline, status, launched, changed,"
            " user, type, reason, comments) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            item_id,
            xsi_type,
            project,
            pipeline,
            status,
            now,
            now,
            user,
            type,
            reason,
            comments,
        )

    def finish(self, pk: int, status: str = "Complete") -> None:
        """Gives a row its final status."""
        self.store.change(
            "UPDATE workflow SET status = ?, changed = ? WHERE pk = ?",
            status,
            self.clock.stamp(),
            pk,
        )

    def of(self, item_id: str) -> list[dict[str, Any]]:
        """All rows of an item, oldest first."""
        rows = self.store.rows("SELECT * FROM workflow WHERE item_id = ? ORDER BY pk", item_id)
        return [dict(row) for row in rows]

    def open_one(self, item_id: str) -> dict[str, Any] | None:
        """A row of the item that is not finished yet, or None."""
        return next((row for row in self.of(item_id) if row["status"] in OPEN), None)

    def get(self, pk: int) -> dict[str, Any] | None:
        """One row by its id."""
        row = self.store.row("SELECT * FROM workflow WHERE pk = ?", pk)
        return None if row is None else dict(row)

    def find(
        self, item_id: str, pipeline: str, launched: str, scan_id: str = ""
    ) -> dict[str, Any] | None:
        """The row with this natural key."""
        row = self.store.row(
            "SELECT * FROM workflow WHERE item_id = ? AND pipeline = ? AND launched = ?"
            " AND scan_id = ? ORDER BY pk DESC",
            item_id,
            pipeline,
            launched,
            scan_id,
        )
        return None if row is None else dict(row)

    def of_pipeline(self, pipeline: str) -> list[dict[str, Any]]:
        """All rows of a pipeline, oldest launch first."""
        rows = self.store.rows(
            "SELECT * FROM workflow WHERE pipeline = ? ORDER BY launched, pk", pipeline
        )
        return [dict(row) for row in rows]

    def change(self, pk: int, **values: str) -> None:
        """Sets columns of a row.

        Raises: `ValueError` for a name that is no column.
        """
        unknown = set(values) - set(SETTABLE)
        if unknown:
            raise ValueError(f"a workflow has no {sorted(unknown)[0]}")
        values["changed"] = self.clock.stamp()
        columns = ", ".join(f"{name} = ?" for name in values)
        self.store.change(f"UPDATE workflow SET {columns} WHERE pk = ?", *values.values(), pk)
