"""Fault rows X2 and X3: what a schema may hold without doing harm."""

from __future__ import annotations

import builtins
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnat_luigi import classes as classes_module
from xnat_luigi.classes import ClassModel
from xnat_luigi.exceptions import XNATIntegrityError, XNATValueError
from xnat_luigi.schema import cache
from xnat_luigi.schema.reader import read_schemas

from ..schema.material import of_type, own_schemas, schema

EVIL = [
    '"""\nimport os; os.system("touch RAN")\n"""',
    "x'); __import__('os').system('touch RAN'); ('",
    "__import__('os').system('touch RAN')",
    "{0.__class__}",
    "%(name)s",
    "\\",
    "a'b\"c",
    "__init__",
    "__class__",
    "None",
    "print",
    "größe",
    "‮name",
]


def element(name: str, type_: str = "xs:string", doc: str = "") -> str:
    note = (
        f"<xs:annotation><xs:documentation>{quoteattr(doc)[1:-1]}</xs:documentation>"
        "</xs:annotation>"
    )
    return f'<xs:element name={quoteattr(name)} type="{type_}" minOccurs="0">{note}</xs:element>'


def named(name: str, body: str = "") -> str:
    return (
        f"<xs:complexType name={quoteattr(name)}><xs:sequence>{body}</xs:sequence></xs:complexType>"
    )


def build(documents: dict[str, bytes]) -> ClassModel:
    model = ClassModel(read_schemas(documents))
    model.build_all()
    return model


@pytest.mark.parametrize("evil", EVIL)
def test_X2_names_and_texts_of_a_schema_are_data_only(
    evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called: list[str] = []
    for name in ("exec", "eval", "compile"):
        monkeypatch.setattr(builtins, name, lambda *_a, _n=name, **_k: called.append(_n))
    body = named(evil, element(evil, doc=evil)) + named("plain", element("a", doc=evil))
    classes = build({"x": schema(body)})
    for cls in classes.build_all():
        assert cls.__name__.isidentifier()
        dir(cls), repr(cls), cls.__doc__
    assert called == []
    assert not os.path.exists("RAN")


@pytest.mark.parametrize("word", ["class", "def", "None", "True", "import", "lambda", "async"])
def test_X2_keywords_are_no_names(word: str) -> None:
    classes = build({"x": schema(named("thing", element(word)))})
    (name,) = [name for name, value in vars(classes.Thing).items() if isinstance(value, property)]
    assert name == {"None": "none", "True": "true"}.get(word, f"{word}_")
    assert build({"x": schema(named(word))}).build_all()[0].__name__.isidentifier()


def test_X2_the_module_gains_nothing_from_a_schema() -> None:
    before = set(vars(classes_module))
    modules = set(sys.modules)
    build(own_schemas())
    assert set(vars(classes_module)) == before
    assert not {name for name in set(sys.modules) - modules if "xnat_luigi" in name}
    assert isinstance(classes_module, ModuleType)


def test_X2_a_schema_cannot_replace_what_objects_do() -> None:
    members = ("delete", "get", "set", "uri", "parent", "data", "fulldata", "clearcache", "mset")
    body = of_type("thing", "".join(element(name) for name in members))
    thing = build({"x": schema(body)}).Thing
    for name in members:
        assert name not in vars(thing)
    private = build({"x": schema(of_type("thing", element("_cache") + element("__dict__")))}).Thing
    assert not any(name.startswith("_cache") for name in vars(private))


def test_X2_a_foreign_type_gets_no_mixin_by_its_name() -> None:
    from xnat_luigi import mixin

    classes = build({**own_schemas(), "evil": schema(of_type("projectData"), "evil", "urn:evil")})
    assert issubclass(classes.ProjectData, mixin.ProjectData)
    foreign = classes.by_xsi_type("evil:projectData")
    assert foreign.__name__ == "EvilProjectData"
    assert not issubclass(foreign, mixin.ProjectData)


def test_X3_an_unknown_base_costs_only_the_types_that_derive_from_it() -> None:
    body = of_type("a", base="far:base") + of_type("b", base="x:a") + of_type("good")
    classes = build({"x": schema(body, more=[("far", "urn:far")])})
    assert classes.Good
    for name in ("x:a", "x:b"):
        with pytest.raises(XNATValueError, match=rf"{name}.*far:base"):
            classes.by_xsi_type(name)
    with pytest.raises(AttributeError, match="far:base"):
        classes.A  # noqa: B018


def test_X3_types_that_derive_from_each_other_are_an_error_that_names_them() -> None:
    body = of_type("a", base="x:b") + of_type("b", base="x:a") + of_type("self", base="x:self")
    classes = build({"x": schema(body + of_type("good"))})
    with pytest.raises(XNATValueError, match=r"x:a.*x:a -> x:b -> x:a"):
        classes.by_xsi_type("x:a")
    with pytest.raises(XNATValueError, match="x:self -> x:self"):
        classes.by_xsi_type("x:self")


def test_X3_types_that_hold_each_other_are_built() -> None:
    body = of_type("a", element("b", "x:b")) + of_type("b", element("a", "x:a"))
    classes = build({"x": schema(body)})
    assert classes.A.b is classes.B
    assert classes.B.a is classes.A


def test_X3_clashing_names_are_told_apart() -> None:
    one = schema(of_type("thing", element("fooBar") + element("foo_bar") + element("foo-bar")))
    two = schema(of_type("thing") + of_type("Thing"), "y", "urn:y")
    classes = build({"one": one, "two": two})
    names = [name for name in vars(classes.Thing) if name.startswith("foo")]
    assert names == ["foo_bar", "foo_bar_2", "foo_bar_3"]
    assert {cls.__name__ for cls in classes.build_all()} >= {"Thing", "YThing", "YThing2"}
    again = schema(of_type("thing"), "x", "urn:x")
    model = read_schemas({"one": one, "again": again})
    assert "already" in model.problems["x:thing in again"]


def test_X3_two_namespaces_with_one_prefix_are_no_danger() -> None:
    one, two = schema(of_type("thing")), schema(of_type("thing"), "x", "urn:other")
    model = read_schemas({"one": one, "two": two})
    assert model.find("x:thing").schema == "one"
    assert any("prefix 'x'" in why for why in model.problems.values())


@pytest.mark.parametrize("encoding", ["windows-1252", "ISO-8859-1", "UTF-16", "UTF-8"])
def test_X3_every_declared_charset_is_read(encoding: str) -> None:
    content = schema(of_type("thing", element("a", doc="Größe in µm")), encoding=encoding)
    (prop,) = read_schemas({"x": content}).find("x:thing").properties
    assert prop.doc == "Größe in µm"


def test_X3_a_broken_extension_costs_only_its_own_types() -> None:
    broken = {"cut": own_schemas()["memory"][:500], "page": b"<html>login</html>", "none": b""}
    model = read_schemas({**own_schemas(), **broken})
    assert model.find("xnat:mrSessionData")
    assert {"cut", "none"} <= set(model.problems)
    assert all("cannot be read" in model.problems[name] for name in ("cut", "none"))


def test_X3_a_broken_schema_of_xnat_itself_is_an_error_that_names_it() -> None:
    documents = {**own_schemas(), "xnat": own_schemas()["xnat"][:5000]}
    with pytest.raises(XNATIntegrityError, match="'xnat'"):
        read_schemas(documents)


def test_X1_a_schema_with_a_doctype_is_refused_at_once() -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">&b;</xs:schema>'
    )
    begin = time.monotonic()
    with pytest.raises(XNATIntegrityError, match="DOCTYPE"):
        read_schemas({"xnat": bomb})
    assert "DOCTYPE" in read_schemas({**own_schemas(), "plugin": bomb}).problems["plugin"]
    assert time.monotonic() - begin < 1


def test_X3_a_long_line_of_bases_and_deep_types_are_built() -> None:
    body = of_type("t0") + "".join(of_type(f"t{n}", base=f"x:t{n - 1}") for n in range(1, 200))
    model = read_schemas({"x": schema(body)})
    assert len(model.line("x:t199")) == 200
    deep = element("leaf")
    for n in range(40):
        deep = (
            f'<xs:element name="e{n}"><xs:complexType><xs:sequence>{deep}{element("s")}'
            "</xs:sequence></xs:complexType></xs:element>"
        )
    assert len(read_schemas({"x": schema(of_type("deep", deep))}).classes) == 41


names = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, st.lists(names, max_size=4), st.integers(0, 5)), max_size=6))
def test_X2_any_names_and_any_bases_give_classes_or_named_problems(
    drawn: list[tuple[str, list[str], int]],
) -> None:
    body = of_type("sure")
    for name, fields, base in drawn:
        target = drawn[base][0] if base < len(drawn) else ""
        derived = f"x:{target}" if target else ""
        inner = "".join(element(field, doc=field) for field in fields)
        body += (
            f"<xs:complexType name={quoteattr(name)}><xs:complexContent><xs:extension "
            f"base={quoteattr(derived)}><xs:sequence>{inner}</xs:sequence></xs:extension>"
            "</xs:complexContent></xs:complexType>"
        )
    model = read_schemas({"x": schema(body)})
    classes: Any = ClassModel(model)
    built = classes.build_all()
    assert len({cls.__name__ for cls in built}) == len(built)
    for name, _, _ in drawn:
        found = f"x:{name}"
        assert found in model.classes or found in model.problems or ":" in name
    again = cache._model(cache._body(model).encode().split(b"\n"))
    assert dict(again.classes) == dict(model.classes)
