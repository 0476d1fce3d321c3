"""The reference that is made from the docstrings."""

from __future__ import annotations

import html
import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
API = json.loads((ROOT / "tests" / "seed" / "api.json").read_text(encoding="utf-8"))["modules"]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(page: Path, anchor: str) -> str:
    """The text of one entry, without marks."""
    text = page.read_text(encoding="utf-8")
    begin = text.index(f'id="{anchor}"')
    end = text.find("<section", begin)
    plain = html.unescape(re.sub(r"<[^>]+>", "", text[begin : end if end > 0 else None]))
    return " ".join(plain.split())


def test_S276_the_reference_shows_parameters_and_errors(
    reference: ModuleType, tmp_path: Path
) -> None:
    reference.make(tmp_path, ["xnat_luigi", "xnat_luigi.session.verbs", "xnat_luigi.search"])
    connect = words(tmp_path / "xnat_luigi.html", "connect")
    assert "detect_redirect: bool = True" in connect
    assert "netrc_file (path, optional): A netrc file to use" in connect
    assert "XNATLoginFailedError: User, password or jsession" in connect
    get = words(tmp_path / "xnat_luigi" / "session" / "verbs.html", "Verbs.get")
    assert "accepted_status (sequence of int, optional)" in get
    assert (tmp_path / "index.html").is_file()


def test_S276_the_classes_of_a_session_have_a_page(reference: ModuleType, tmp_path: Path) -> None:
    reference.make(tmp_path, ["session_classes"])
    page = tmp_path / "session_classes.html"
    scan = words(page, "MrScanData")
    assert "Type xnat:mrScanData." in scan
    assert "voxel_res" in words(page, "MrScanDataParameters")
    demographics = words(page, "DemographicData")
    assert "gender str gender" in demographics
    assert "one of male, female" in demographics
    inventory = json.loads((ROOT / "tests" / "seed" / "classes.json").read_text("utf-8"))
    text = page.read_text(encoding="utf-8")
    for name in inventory["classes"]:
        if name != "FileData" and not name.endswith("Mixin"):  # those are written by hand
            assert f'id="{name}"' in text, name


def test_S276_every_module_has_a_page_and_says_what_it_is(reference: ModuleType) -> None:
    names = [name for name in reference.modules() if name.startswith("xnat_luigi")]
    assert {f"xnat_luigi.{name}".rstrip(".") for name in API} <= set(names)
    for name in names:
        module = importlib.import_module(name)
        empty = module.__file__ is not None and not Path(module.__file__).read_text("utf-8").strip()
        assert module.__doc__ or empty, name  # an empty package leaves it to its modules


@pytest.mark.parametrize("name", sorted(name for name in API if API[name]["classes"]))
def test_S276_every_documented_member_has_a_docstring(name: str) -> None:
    module = importlib.import_module(f"xnat_luigi.{name}")
    for class_name, entry in API[name]["classes"].items():
        cls = getattr(module, class_name)
        assert cls.__doc__, class_name
        for member, about in entry["members"].items():
            found = inspect.getattr_static(cls, member)
            if about["kind"] not in ("constant", "attribute") and callable(
                getattr(found, "fget", found)
            ):
                assert inspect.getdoc(getattr(cls, member)), f"{class_name}.{member}"
