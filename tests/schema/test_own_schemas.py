"""The schemas the stand-in serves: valid, split like a real site's, in our own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from xnat_luigi.standin.schemas import schema_bytes, schema_file, schema_names

from .material import own_schemas, real_schemas


def path_of(name: str) -> str:
    return f"{name}.xsd" if "/" in name else f"{name}/{name}.xsd"


def test_A2_more_than_ten_names_with_the_prefixes_of_a_stock_site() -> None:
    names = schema_names()
    assert len(names) == len(set(names)) > 10
    assert {"security", "xnat", "xdat", "xdat/display", "xdat/instance"} <= set(names)
    prefixes = {
        prefix
        for content in own_schemas().values()
        for prefix in etree.fromstring(content).nsmap
        if prefix
    }
    assert {"xnat", "xdat", "arc", "cat", "prov", "val", "wrk", "scr"} <= prefixes


def test_A2_the_old_addresses_give_the_same_files() -> None:
    for name in schema_names():
        assert schema_file(path_of(name)) == schema_bytes(name)
    for path in ("", "xnat.xsd", "xnat/xnat.txt", "nothing/nothing.xsd", "../xnat/xnat.xsd"):
        assert schema_file(path) is None
    assert schema_bytes("nothing") is None


def test_the_schemas_are_valid_together(tmp_path: Path) -> None:
    for name, content in own_schemas().items():
        path = tmp_path / path_of(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    for name in schema_names():
        etree.XMLSchema(file=str(tmp_path / path_of(name)))


def test_every_concrete_type_of_people_and_sessions_has_a_root_element() -> None:
    from xnat_luigi.schema.reader import read_schemas

    model = read_schemas(own_schemas())
    with_element = set(model.elements.values())
    for record in model:
        if record.xsi_type.endswith(("SessionData", "ScanData")) and record.kind == "object":
            abstract = {"xnat:imageSessionData", "xnat:imageScanData"}
            assert record.xsi_type in with_element | abstract


def test_the_words_are_our_own() -> None:
    """No sentence of the real schemas stands in ours."""

    def sentences(contents: dict[str, bytes]) -> set[str]:
        found = set()
        for content in contents.values():
            for note in etree.fromstring(content).iter(
                "{http://www.w3.org/2001/XMLSchema}documentation"
            ):
                text = " ".join("".join(str(part) for part in note.itertext()).split())
                if len(text.split()) > 2:
                    found.add(text.strip(".").lower())
        return found

    assert sentences(own_schemas()) & sentences(real_schemas()) == set()


@pytest.mark.parametrize("name", schema_names())
def test_each_schema_says_what_it_is_for(name: str) -> None:
    comments = etree.fromstring(own_schemas()[name]).xpath("preceding-sibling::comment()")
    assert len(comments) == 1
