"""The document of a search holds values as values, whatever they are (S-267)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi import safexml
from xnat_luigi.classes import ClassModel
from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.schema.reader import read_schemas
from xnat_luigi.search import Condition, Query, and_, or_

from ..schema.material import own_schemas

XDAT = "{http://nrg.wustl.edu/security}"
CLASSES: Any = ClassModel(read_schemas(own_schemas()))
MR = CLASSES.MrSessionData
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40).filter(
    lambda text: not set(text) & {"\ufffe", "\uffff"}
)


def conditions() -> st.SearchStrategy[tuple[Condition, list[str]]]:
    """A condition and the values in it, in order."""
    one = TEXT.map(lambda text: (MR.label == text, [text]))
    return st.recursive(
        one,
        lambda inner: st.tuples(
            st.sampled_from([and_, or_]), st.lists(inner, min_size=1, max_size=3)
        ).map(
            lambda made: (
                made[0](*(part for part, _ in made[1])),
                [value for _, values in made[1] for value in values],
            )
        ),
        max_leaves=6,
    )


@given(conditions())
def test_S267_values_come_back_from_the_document(made: tuple[Condition, list[str]]) -> None:
    condition, values = made
    document = safexml.parse(Query(MR, None).filter(condition).to_string())
    assert [one.text or "" for one in document.iter(XDAT + "value")] == values
    assert document.findtext(XDAT + "root_element_name") == "xnat:mrSessionData"
    where = document.find(XDAT + "search_where")
    assert where is not None and len(where) == 1


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "\x1b[31m"])
def test_S267_control_characters_are_refused(text: str) -> None:
    with pytest.raises(XNATValueError, match="control"):
        MR.label == text  # noqa: B015


def test_S267_python_s_own_and_or_and_in_are_refused() -> None:
    first, second = MR.label == "a", MR.age > 3
    with pytest.raises(XNATValueError, match="truth value"):
        assert first and second
    with pytest.raises(XNATValueError, match="truth value"):
        assert not first
    with pytest.raises(XNATValueError, match="no search condition"):
        Query(MR, None).filter(and_(first, "label = 'x'"))  # type: ignore[arg-type]
