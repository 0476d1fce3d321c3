"""XSD documents into the records of a model.

What the documented classes are made of (section 1.5.1): one class for each complex type, one for
each nameless type inside a field, one for each kind of plain value that carries attributes. A
wrapper that holds nothing but a repeated element is no class of its own: ``sharing/share`` is the
listing `sharing`.

What cannot be built is left out and remembered under its name (fault row X3): a type with an
unknown base, types that derive from each other in a circle, a schema that is no XML.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import XNATError, XNATIntegrityError
from . import naming
from .drafts import XS, Document, Draft, Field, Key, Simple, read_document, read_types
from .records import (
    LISTING,
    NESTED,
    OBJECT,
    PART,
    SIMPLE,
    TEXTS,
    VALUE,
    ClassRecord,
    Model,
    Property,
)

__all__ = ["CONTAINERS", "NAMED_BY", "VITAL", "read_schemas"]

VITAL = ("xnat",)
"""schemas without which there is no model: a fault in one of these is raised"""

CONTAINERS = {
    "xnat:projectData": "projects",
    "xnat:subjectData": "subjects",
    "xnat:experimentData": "experiments",
    "xnat:imageScanData": "scans",
    "xnat:reconstructedImageData": "reconstructions",
    "xnat:imageAssessorData": "assessors",
    "xnat:abstractResource": "resources",
}
"""the types with a REST path of their own, and the listing of the parent they are made in"""

NAMED_BY = {"xnat:projectData": "name", "xnat:imageScanData": "type"}
"""documented secondary keys (S-097) where they differ from what the schema says"""


def read_schemas(documents: Mapping[str, bytes]) -> Model:
    """The model that some schemas describe together.

    Parameters
    ----------
    documents : mapping
        The bytes of each schema by the name the server gives it (``xnat``, ``xdat/display``).

    Raises
    ------
    XNATIntegrityError
        A schema of `VITAL` cannot be parsed, or none of the documents holds a type.
    """
    parsed: list[Document] = []
    problems: dict[str, str] = {}
    for name, content in documents.items():
        try:
            parsed.append(read_document(name, content))
        except XNATError as error:
            if name in VITAL:
                raise XNATIntegrityError(f"the schema {name!r} cannot be read: {error}") from None
            problems[name] = f"the schema {name!r} cannot be read: {error}"
    builder = _Builder(parsed, problems)
    model = builder.build()
    if not model.classes:
        raise XNATIntegrityError(
            f"no types in the schemas {sorted(documents)}: is this the address of an XNAT server?"
        )
    return model


def _prefixes(documents: list[Document]) -> dict[str, str]:
    """The prefix of each namespace: its own schema's, else another's, else the end of its name."""
    found = {XS: "xs"}
    for own in (True, False):
        for document in documents:
            for prefix, namespace in document.prefixes.items():
                if prefix and (namespace == document.namespace or not own):
                    found.setdefault(namespace, prefix)
    for document in documents:
        last = document.namespace.rstrip("/").rpartition("/")[2]
        found.setdefault(document.namespace, last or document.name)
    return found


class _Builder:
    """Puts the drafts of all documents together and makes records of them."""

    def __init__(self, documents: list[Document], problems: dict[str, str]) -> None:
        self.documents = documents
        self.problems = problems
        self.prefixes = _prefixes(documents)
        self.spaces: dict[str, list[Document]] = {}
        for document in documents:
            self.spaces.setdefault(document.namespace, []).append(document)
        self.drafts: dict[Key, Draft] = {}
        self.simple: dict[Key, Simple] = {}
        self.records: dict[str, ClassRecord] = {}
        self.aliases: dict[str, str] = {}
        self.taken: set[str] = set()
        self.lines: dict[Key, list[Key] | None] = {}

    def build(self) -> Model:
        self.collect()
        # XNAT's own types and their parts get their names first, whatever else there is.
        for namespace in sorted(self.spaces, key=lambda one: _rank(self.prefixes[one])):
            usable = [
                key
                for key in self.drafts
                if key.namespace == namespace and self.line(key) is not None
            ]
            names = {key: self.name(key) for key in usable}
            for key in self.simple:
                if key.namespace == namespace:
                    self.plain_record(key)
            for key in usable:
                self.type_record(key, names[key])
        return Model(
            classes=_bases_first(self.records),
            elements=self.elements(),
            aliases=self.aliases,
            problems=self.problems,
        )

    # What there is

    def collect(self) -> None:
        for document in self.documents:
            drafts, simple = read_types(document, self.spaces)
            for local, draft in drafts.items():
                key = Key(document.namespace, local)
                if key in self.drafts:
                    self.problems[f"{self.xsi(key)} in {document.name}"] = (
                        f"{self.xsi(key)} is described in the schema {self.drafts[key].schema!r} "
                        f"already; the description in {document.name!r} is not used"
                    )
                    continue
                self.drafts[key] = draft
            for local, plain in simple.items():
                self.simple.setdefault(Key(document.namespace, local), plain)

    def elements(self) -> dict[str, str]:
        """Root elements: what a document of a type begins with."""
        found = {}
        for document in self.documents:
            prefix = self.prefixes[document.namespace]
            for local, element in document.top["element"].items():
                type_ = element.get("type")
                if type_:
                    mark, _, name = str(type_).rpartition(":")
                    key = Key(document.prefixes.get(mark, document.namespace), name)
                    if self.xsi(key) in self.records:
                        found[f"{prefix}:{local}"] = self.xsi(key)
        return found

    def prefix(self, key: Key) -> str:
        return self.prefixes.get(key.namespace, key.namespace)

    def xsi(self, key: Key) -> str:
        return f"{self.prefix(key)}:{key.local}"

    def name(self, key: Key) -> str:
        prefix = naming.class_name(self.prefix(key))
        name = naming.free_name(naming.class_name(key.local), prefix, self.taken)
        self.taken.add(name)
        return name

    # What derives from what

    def line(self, key: Key) -> list[Key] | None:
        """A type and its bases down to the first; None where that cannot be built."""
        if key not in self.lines:
            self.lines[key] = self.follow(key)
        return self.lines[key]

    def follow(self, key: Key) -> list[Key] | None:
        line = [key]
        while True:
            base = self.drafts[line[-1]].base
            if base is None or base.namespace == XS or base in self.simple:
                return line
            if base in line:
                circle = " -> ".join(self.xsi(one) for one in [*line, base])
                self.refuse(key, f"it derives from itself ({circle})")
                return None
            if base not in self.drafts:
                child = self.xsi(line[-1])
                why = f"{child} derives from {self.xsi(base)}, which no schema of the server has"
                self.refuse(key, why)
                return None
            line.append(base)

    def refuse(self, key: Key, why: str) -> None:
        schema = self.drafts[key].schema
        self.problems[self.xsi(key)] = f"{why} (schema {schema!r})"

    def plain(self, key: Key | None) -> Simple | None:
        """What a plain type comes down to, with all limits; None for one that is not plain."""
        limits: dict[str, str | list[str]] = {}
        seen: set[Key] = set()
        while key is not None:
            if key.namespace == XS:
                return Simple(key, limits)
            if key not in self.simple or key in seen:
                return None if not seen else Simple(Key(XS, "string"), limits)
            seen.add(key)
            limits = {**self.simple[key].limits, **limits}
            key = self.simple[key].base
        return None

    # Records

    def plain_record(self, key: Key) -> None:
        """A plain type with a name is a class with one property, `value` (``LONGVARCHAR``)."""
        found = self.plain(key)
        type_ = "xs:" + (found.base.local if found and found.base else "string")
        limits = found.limits if found else {}
        xsi = self.xsi(key)
        if xsi in self.records:
            return
        value = Property("value", key.local, SIMPLE, type_, limits=limits, own=True)
        self.records[xsi] = _record(self.name(key), xsi, kind=NESTED, properties=(value,))

    def type_record(self, key: Key, name: str) -> None:
        draft = self.drafts[key]
        xsi = self.xsi(key)
        if xsi in self.records:
            self.problems[f"{xsi} in {draft.schema}"] = (
                f"two namespaces with the prefix {self.prefix(key)!r} have a type "
                f"{key.local!r}; the one in {draft.schema!r} is not used"
            )
            return
        line = self.line(key) or [key]
        object_ = any(self.xsi(one) in CONTAINERS for one in line)
        base = ""
        if draft.base is not None:
            base = (
                self.value_record(key.local, draft.base)
                if (draft.base.namespace == XS)
                else self.xsi(draft.base)
            )
        # Placed before its parts are made, so that these never take its place.
        self.records[xsi] = _record(name, xsi)
        self.records[xsi] = _record(
            name,
            xsi,
            base=base,
            kind=OBJECT if object_ else NESTED,
            display=draft.display,
            container=CONTAINERS.get(xsi, ""),
            abstract=draft.abstract,
            doc=draft.doc,
            schema=draft.schema,
            properties=self.properties(draft, xsi, key.local, xsi),
        )

    def value_record(self, field: str, base: Key) -> str:
        """The class of a plain value that has attributes beside it: ``HeightFloat``."""
        local = naming.value_name(field, base.local)
        key = f"value:{local}"
        if key not in self.records:
            name = naming.free_name(naming.class_name(local), "Value", self.taken)
            self.taken.add(name)
            own = naming.attribute_name(field)
            value = Property(own, field, SIMPLE, f"xs:{base.local}", own=True)
            self.records[key] = _record(name, key, kind=VALUE, properties=(value,))
        return key

    def properties(self, draft: Draft, xsi: str, local: str, wire: str) -> tuple[Property, ...]:
        taken: set[str] = set()
        found = []
        for field in draft.fields.values():
            name = naming.free_name(naming.attribute_name(field.name), "", taken)
            taken.add(name)
            found.append(self.property(name, field, xsi, local, wire))
        return tuple(found)

    def property(self, name: str, field: Field, xsi: str, local: str, wire: str) -> Property:
        """One property of the type `xsi`.

        `local` is what the names of its parts begin with, `wire` what a server calls it.
        """
        part = field.part
        if part is None or field.many:
            return self.direct(name, field, field.name, xsi, local, wire)
        part_local = naming.part_name(local, field.name)
        inner = _only_repeated(part)
        if inner is not None:
            found = self.direct(
                name, inner, f"{field.name}/{inner.name}", xsi, local, wire, wrapper=part_local
            )
            return found._replace(doc=field.doc or found.doc)
        path = f"{xsi}/{field.name}"
        self.part_record(part, path, part_local, part_local, xsi, field.name, wire)
        value = field.name if self.plain(part.base) else ""
        return Property(name, field.name, NESTED, path, field.doc, value=value)

    def direct(
        self,
        name: str,
        field: Field,
        path: str,
        xsi: str,
        local: str,
        wire: str,
        wrapper: str = "",
    ) -> Property:
        """A property whose type is not inside a wrapper, or whose wrapper is dissolved."""
        if field.part is not None:
            # The wrapper's name goes to what it wrapped, names below it are made from both.
            inner_local = naming.part_name(wrapper or local, field.name)
            inner_wire = f"{wire}_{field.name}"
            target = f"{xsi}/{path}"
            self.part_record(
                field.part, target, wrapper or inner_local, inner_local, xsi, path, inner_wire
            )
            self.aliases.setdefault(inner_wire, target)
            kind, lookup, value = self.repeated(field, field.part, field.name)
            return Property(name, path, kind, target, field.doc, lookup, value)
        if field.type is None:
            kind = TEXTS if field.many else SIMPLE
            return Property(name, path, kind, "", field.doc, value=field.name if field.many else "")
        plain = self.plain(field.type)
        if plain is not None and plain.base is not None:
            limits = {**plain.limits, **field.limits}
            kind = TEXTS if field.many else SIMPLE
            type_ = f"xs:{plain.base.local}"
            value = field.name if field.many else ""
            return Property(name, path, kind, type_, field.doc, field.display, value, limits)
        target = self.xsi(field.type)
        draft = self.drafts.get(field.type)
        if not field.many:
            text = draft is not None and self.plain(draft.base) is not None
            return Property(
                name, path, NESTED, target, field.doc, value=field.type.local if text else ""
            )
        if draft is None:
            return Property(name, path, LISTING, target, field.doc, field.display)
        kind, lookup, value = self.repeated(field, draft, field.type.local)
        if kind == LISTING:
            lookup = field.display or self.named_by(field.type)
        return Property(name, path, kind, target, field.doc, lookup, value)

    def repeated(self, field: Field, draft: Draft, key: str) -> tuple[str, str, str]:
        """Kind, lookup and value key of a listing: texts under one name each are a mapping."""
        lookup = field.display or draft.display
        if self.plain(draft.base) is None:
            return LISTING, lookup, ""
        if len(draft.fields) > 1:
            return LISTING, lookup, key
        return TEXTS, lookup or next(iter(draft.fields), ""), key

    def named_by(self, key: Key) -> str:
        """The field that names objects of a type, its own or that of what it derives from."""
        for one in self.line(key) or ():
            found = NAMED_BY.get(self.xsi(one)) or self.drafts[one].display
            if found:
                return found
        return ""

    def part_record(
        self, draft: Draft, path: str, name: str, local: str, parent: str, field: str, wire: str
    ) -> None:
        """The class of a nameless type."""
        if path in self.records:
            return
        called = naming.free_name(
            naming.class_name(name), naming.class_name(parent.partition(":")[0]), self.taken
        )
        self.taken.add(called)
        base = ""
        if draft.base is not None:
            plain = self.plain(draft.base)
            if plain is not None and plain.base is not None:
                base = self.value_record(field.rpartition("/")[2], plain.base)
            elif draft.base in self.drafts and self.line(draft.base) is not None:
                base = self.xsi(draft.base)
            else:
                self.problems[path] = (
                    f"it derives from {self.xsi(draft.base)}, which cannot be built; only its own "
                    f"fields are there (schema {draft.schema!r})"
                )
        self.records[path] = _record(called, path)
        self.records[path] = _record(
            called,
            path,
            base=base,
            kind=PART,
            parent=parent,
            field=field,
            display=draft.display,
            abstract=draft.abstract,
            doc=draft.doc,
            schema=draft.schema,
            properties=self.properties(draft, path, local, wire),
        )


def _rank(prefix: str) -> tuple[int, str]:
    """Whose names win: XNAT's own, then the alphabet; the order of the list does not matter."""
    return {"xnat": 0, "xdat": 1}.get(prefix, 2), prefix


def _only_repeated(part: Draft) -> Field | None:
    """The repeated element that is all a wrapper holds."""
    if part.base is not None or len(part.fields) != 1:
        return None
    (inner,) = part.fields.values()
    return inner if inner.many else None


def _record(
    name: str,
    xsi_type: str,
    *,
    base: str = "",
    kind: str = NESTED,
    parent: str = "",
    field: str = "",
    display: str = "",
    container: str = "",
    abstract: bool = False,
    doc: str = "",
    schema: str = "",
    properties: tuple[Property, ...] = (),
) -> ClassRecord:
    custom = any(
        one.field == "fields/field" and one.kind == TEXTS and one.value == "field"
        for one in properties
    )
    return ClassRecord(
        name,
        xsi_type,
        base,
        kind,
        parent,
        field,
        display,
        container,
        abstract,
        custom,
        doc,
        schema,
        properties,
    )


def _bases_first(records: Mapping[str, ClassRecord]) -> dict[str, ClassRecord]:
    """The same records, each after the one it derives from."""
    placed: dict[str, ClassRecord] = {}
    for key in records:
        waiting = []
        while key and key not in placed and key not in waiting:
            waiting.append(key)
            key = records[key].base
        for one in reversed(waiting):
            placed[one] = records[one]
    return placed
