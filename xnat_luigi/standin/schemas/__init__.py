"""The schemas the stand-in serves, of our own writing, split over namespaces like a real site's.

One file per schema lies beside this module; a dot in its name stands for the slash in the name of
the schema (``xdat.display.xsd`` is ``xdat/display``). Source: wire contract A 2.
"""

from __future__ import annotations

import functools
from importlib import resources

__all__ = ["schema_bytes", "schema_file", "schema_names"]

_SUFFIX = ".xsd"
# The first names as a site lists them; all others follow in the order of the alphabet.
_FIRST = (
    "security",
    "xnat",
    "xdat",
    "xdat/display",
    "xdat/instance",
    "assessments",
    "pipeline/workflow",
)


@functools.lru_cache(maxsize=1)
def _contents() -> dict[str, bytes]:
    """Every schema by its name."""
    return {
        entry.name[: -len(_SUFFIX)].replace(".", "/"): entry.read_bytes()
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(_SUFFIX)
    }


def schema_names() -> list[str]:
    """The names ``GET /xapi/schemas`` lists: ``folder/name``, or ``xnat`` for ``xnat/xnat.xsd``."""
    known = _contents()
    return [name for name in _FIRST if name in known] + sorted(set(known) - set(_FIRST))


def schema_bytes(name: str) -> bytes | None:
    """The XSD called ``name`` (``"xnat"``, ``"xdat/display"``), or None where there is none."""
    return _contents().get(name)


def schema_file(path: str) -> bytes | None:
    """The XSD at a 1.6-style path below ``/schemas/``, as ``"xnat/xnat.xsd"``, or None.

    A schema has one path: ``xnat`` is at ``xnat/xnat.xsd``, ``xdat/display`` at
    ``xdat/display.xsd``.
    """
    folder, _, file = path.rpartition("/")
    if not folder or not file.endswith(_SUFFIX):
        return None
    stem = file[: -len(_SUFFIX)]
    return schema_bytes(stem if stem == folder else f"{folder}/{stem}")
