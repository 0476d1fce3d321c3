"""Names of attributes and classes."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.schema import naming


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("voxelRes", "voxel_res"),
        ("PI", "pi"),
        ("addID", "add_id"),
        ("UID", "uid"),
        ("half-life", "half_life"),
        ("fileNameUUID", "file_name_uuid"),
        ("numRElements", "num_relements"),
        ("MT_1_1", "mt_1_1"),
        ("in", "in_"),
        ("class", "class_"),
        ("1st", "_1st"),
        ("größe", "gr_e"),
        ("---", "field"),
        ("名", "field"),
    ],
)
def test_S259_attributes_have_their_documented_names(field: str, name: str) -> None:
    assert naming.attribute_name(field) == name


@pytest.mark.parametrize(
    ("local", "name"),
    [
        ("mrSessionData", "MrSessionData"),
        ("LONGVARCHAR", "LONGVARCHAR"),
        ("dx3DCraniofacialScanData", "Dx3DCraniofacialScanData"),
        ("a-b_c", "ABC"),
        ("none", "None_"),
        ("3d", "_3d"),
        ("", "Type"),
    ],
)
def test_S259_classes_have_their_documented_names(local: str, name: str) -> None:
    assert naming.class_name(local) == name


def test_parts_and_values_are_named_after_what_they_belong_to() -> None:
    assert naming.part_name("ctScanDataParameters", "voxelRes") == "ctScanDataParametersVoxelres"
    assert naming.value_name("height", "xs:float") == "heightFloat"


@given(st.text())
def test_X2_whatever_a_schema_holds_becomes_an_identifier(text: str) -> None:
    for name in (naming.attribute_name(text), naming.class_name(text)):
        assert name.isidentifier()
        assert not keyword.iskeyword(name)


def test_X3_a_taken_name_gets_the_prefix_and_then_a_number() -> None:
    assert naming.free_name("Project", "Arc", set()) == "Project"
    assert naming.free_name("Project", "Arc", {"Project"}) == "ArcProject"
    assert naming.free_name("Project", "Arc", {"Project", "ArcProject"}) == "ArcProject2"
    assert naming.free_name("a", "", {"a"}) == "a_2"
