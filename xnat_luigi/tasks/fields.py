"""Values on items: custom variables, scan quality, fields of a type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

import luigi

from ..exceptions import XNATNotFoundError, XNATValueError
from ..rest.documents import get_item
from ..rest.items import field_query, set_fields, shows
from ..rest.records import Item
from ..targets.resource import PlacedTarget
from .base import XnatTask
from .ending import cleanly

__all__ = ["FieldsTarget", "SetFields", "custom_variables", "full_path", "full_paths"]

CUSTOM = "custom."


def full_path(xsi_type: str, key: str) -> str:
    """The path the server knows a field by.

    Args:
        xsi_type: type of the item.
        key: `quality` (a field of the type), `custom.cohort` (a custom variable; the server keeps
            their names in small letters), or a full path, which stays as it is.
    """
    if key.startswith(CUSTOM):
        name = key[len(CUSTOM) :].lower()
        if not name or not name.replace("_", "").isalnum():
            raise XNATValueError(f"{key!r}: a custom variable's name has letters, digits and _")
        return f"{xsi_type}/fields/field[name={name}]/field"
    return key if ":" in key.split("/")[0] else f"{xsi_type}/{key}"


def full_paths(xsi_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """All keys by their full paths."""
    return {full_path(xsi_type, key): value for key, value in fields.items()}


def custom_variables(item: Item) -> dict[str, str]:
    """Names and values of an item's custom variables."""
    return {
        entry.text("name").lower(): unescape(entry.text("field"))
        for entry in item.listed("fields/field")
    }


@dataclass(frozen=True)
class FieldsTarget(PlacedTarget):
    """Exists when an item shows all of some values.

    Args:
        fields: pairs of key and value, as `full_path` knows keys; values as the server keeps them.
    """

    resource: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    def exists(self) -> bool:
        connection = self.connect()
        place = self.address(connection)
        if place is None:
            return False
        item = get_item(connection, place.item())
        wanted = full_paths(item.xsi_type, dict(self.fields))
        return all(shows(item, key, value) for key, value in wanted.items())


class SetFields(XnatTask):
    """Sets values on a subject, session, scan or assessor; done once, as often as it runs.

        luigi --module xnat_luigi.tasks xnat.SetFields --server URL --project P \\
              --experiment E --scan 4 --fields '{"quality": "unusable", "custom.cohort": "A"}'

    Complete when the item shows them.
    """

    fields: Mapping[str, Any] = luigi.DictParameter(
        description="JSON: keys such as quality, note or custom.NAME, and their values"
    )
    subject: str = luigi.StrParameter(default="", description="ID or label of the subject")
    experiment: str = luigi.StrParameter(default="", description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan")
    assessor: str = luigi.StrParameter(default="", description="ID or label of the assessor")

    def output(self) -> FieldsTarget:
        return FieldsTarget(
            self.server,
            self.project,
            subject=self.subject,
            experiment=self.experiment,
            scan=self.scan,
            assessor=self.assessor,
            fields=tuple(sorted(field_query(self.fields).items())),
        )

    @cleanly
    def run(self) -> None:
        if not self.fields:
            raise XNATValueError("SetFields: no field is named")
        connection = self.connect()
        target = self.output()
        place = target.address(connection)
        if place is None:
            raise XNATNotFoundError(f"there is no item to set fields of: {target}")
        item = get_item(connection, place.item())
        set_fields(connection, place.item(), full_paths(item.xsi_type, self.fields))
        self.status_line().say(f"{len(self.fields)} fields set", done=1.0, final=True)
