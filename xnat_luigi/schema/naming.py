"""How the names of schemas become names in Python, as documented (S-259, section 1.5.1).

The only place where an attribute or a class gets its name. The result is always an identifier
that is no keyword, whatever a schema holds.
"""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Container

__all__ = ["attribute_name", "class_name", "free_name", "part_name", "value_name"]

_ODD = re.compile(r"[^0-9a-zA-Z]+")
_CAPITALS = re.compile(r"[A-Z]+")
_MANY = re.compile(r"__+")
_BETWEEN = re.compile(r"[\W_]+", re.ASCII)


@functools.lru_cache(maxsize=4096)
def attribute_name(field: str) -> str:
    """``voxelRes`` becomes ``voxel_res``, ``half-life`` ``half_life``, ``in`` ``in_``.

    Every run of capitals begins a new word, as documented: ``fileNameUUID`` becomes
    ``file_name_uuid``, ``numRElements`` ``num_relements``.
    """
    name = _ODD.sub("_", field)
    name = _CAPITALS.sub(lambda found: "_" + found.group().lower(), name)
    name = _MANY.sub("_", name).removeprefix("_")
    return _identifier(name, "field")


@functools.lru_cache(maxsize=4096)
def class_name(local: str) -> str:
    """``mrSessionData`` becomes ``MrSessionData``, ``LONGVARCHAR`` stays."""
    parts = [part for part in _BETWEEN.split(local) if part]
    return _identifier("".join(part[0].upper() + part[1:] for part in parts), "Type")


def part_name(owner: str, field: str) -> str:
    """The name of the nameless type of a field: ``ctScanDataParameters``, then ``…Voxelres``."""
    return owner + field.capitalize()


def value_name(field: str, base: str) -> str:
    """The local name of the type of a plain value: ``fieldString``, ``heightFloat``."""
    return field + base.rpartition(":")[2].capitalize()


def free_name(wanted: str, prefix: str, taken: Container[str]) -> str:
    """The name itself where it is free, else with the prefix, else with a number behind."""
    if wanted not in taken:
        return wanted
    longer = prefix + wanted if prefix else wanted
    number = 2
    name = longer
    while name in taken:
        name = f"{longer}{number}" if prefix else f"{wanted}_{number}"
        number += 1
    return name


def _identifier(name: str, otherwise: str) -> str:
    if not name.strip("_"):
        return otherwise
    if name[0].isdigit():
        name = "_" + name
    return name + "_" if keyword.iskeyword(name) else name
