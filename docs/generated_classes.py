"""The page of the classes that `session.classes` holds on a site without extensions.

They are made from the server's schemas when a session is opened, so there is no module that could
be looked at; one is made here, of the schemas that the stand-in serves.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types

from xnat_luigi import mixin
from xnat_luigi.schema.datatypes import PYTHON
from xnat_luigi.schema.reader import read_schemas
from xnat_luigi.schema.records import NESTED, SIMPLE, ClassRecord, Model, Property
from xnat_luigi.standin.schemas import schema_bytes

__all__ = ["NAME", "make_module"]

NAME = "session_classes"
SCHEMAS = ("xdat", "xnat")
ABOUT = """The classes in `session.classes` on a server without extensions (`xnat` and `xdat`).

Every class has the members of `xnat_luigi.core.XNATBaseObject` as well, and those with a mixin
its methods. Fields are properties: reading one asks the server when it has to, assigning one
changes it there.
"""


def make_module() -> types.ModuleType:
    """The module of that name, ready to be documented."""
    model = read_schemas({name: schema_bytes(name) or b"" for name in SCHEMAS})
    module = types.ModuleType(NAME, ABOUT)
    module.__spec__ = importlib.machinery.ModuleSpec(NAME, None)
    made: dict[str, type] = {}
    for record in model:  # bases stand first
        bases = (made[record.base],) if record.base in made else ()
        body = {"__doc__": text(model, record), "__module__": NAME}
        made[record.xsi_type] = type(record.name, bases, body)
        setattr(module, record.name, made[record.xsi_type])
    module.__all__ = sorted(cls.__name__ for cls in made.values())  # type: ignore[attr-defined]
    sys.modules[NAME] = module
    return module


def text(model: Model, record: ClassRecord) -> str:
    """The docstring of a class: the schema's words, its type, and a table of its own fields."""
    lines = [record.doc, ""] if record.doc else []
    lines.append(f"Type `{record.xsi_type}`.")
    written = getattr(mixin, record.name, None)
    if isinstance(written, type) and record.xsi_type.startswith("xnat:"):
        lines.append(f"Methods: `{written.__module__}.{record.name}`.")
    if record.container:
        lines.append(f"Made below its parent's `{record.container}`.")
    if record.properties:
        rows = [row(model, prop) for prop in record.properties]
        width = 4 if any(cells[3] for cells in rows) else 3
        head = [("field", "type", "in the schema", "about"), ("---",) * 4]
        lines.append("")
        lines += ["| " + " | ".join(cells[:width]) + " |" for cells in (*head, *rows)]
    return "\n".join(lines)


def row(model: Model, prop: Property) -> tuple[str, ...]:
    """The cells of a line of the table of fields."""
    about = [prop.doc] if prop.doc else []
    allowed = prop.limits.get("enum")
    if allowed:
        about.append("one of " + ", ".join(f"`{value}`" for value in allowed))
    about += [f"{name} {prop.limits[name]}" for name in ("min", "max") if name in prop.limits]
    cells = (f"`{prop.name}`", type_of(model, prop), f"`{prop.field}`", "; ".join(about))
    return tuple(cell.replace("|", "\\|") for cell in cells)


def type_of(model: Model, prop: Property) -> str:
    """The type of a property in words."""
    known = model.classes.get(prop.type)
    plain = PYTHON.get(prop.type, str).__name__
    if prop.kind == SIMPLE:
        return plain
    name = f"`{known.name}`" if known else plain
    return name if prop.kind == NESTED else f"listing of {name}"
