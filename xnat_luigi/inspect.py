"""Which data types a server has, and which fields they have (S-124, S-125)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from . import uris
from .core.session import OfSession
from .exceptions import XNATNotFoundError, XNATResponseError
from .rest.answers import cell, read_table

__all__ = ["Inspect"]


class Inspect(OfSession):
    """Looks through what can be searched on a server (wire contract B 9)."""

    def _column(self, path: str, column: str) -> list[str]:
        conn = self._session.connection
        rows = read_table(conn.request("GET", path, query={"format": "json"}))
        return [value for row in rows if (value := cell(row, column))]

    def datatypes(self, pattern: str = "*", fields_pattern: str | None = None) -> list[str]:
        """Return the types that our user can search, in alphabetical order.

        Parameters
        ----------
        pattern : str
            Which types, `*` and `?` stand for anything: `xnat:mr*`.
        fields_pattern : str, optional
            Return the fields of these types that fit it instead, with the type in front.
        """
        found = sorted(
            name
            for name in set(self._column(uris.search_elements(), "ELEMENT_NAME"))
            if fnmatchcase(name, pattern)
        )
        if fields_pattern is None:
            return found
        return [field for name in found for field in self.datafields(name, fields_pattern)]

    def datafields(self, datatype: str, pattern: str = "*", prepend_type: bool = True) -> list[str]:
        """Return the fields of a type by which can be searched.

        Parameters
        ----------
        datatype : str
            `xnat:mrSessionData`, for example.
        pattern : str
            Which fields, `*` and `?` stand for anything.
        prepend_type : bool
            Put the type in front: `xnat:mrSessionData/LABEL`.

        Raises
        ------
        XNATNotFoundError
            The server has no such type.
        """
        try:
            found = self._column(uris.search_elements(datatype), "FIELD_ID")
        except XNATResponseError as error:
            if error.status == 400:
                raise XNATNotFoundError(
                    f"the server has no type {datatype!r} that can be searched",
                    status=400,
                    method="GET",
                    path=error.path,
                ) from error
            raise
        fitting = [
            name
            for name in dict.fromkeys(found)
            # Fields with `=` need a value of their own; sharing columns are one per project.
            if fnmatchcase(name, pattern) and "=" not in name and "SHARINGSHAREPROJECT" not in name
        ]
        return [f"{datatype}/{name}" if prepend_type else name for name in fitting]
