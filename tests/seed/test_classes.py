"""The generated classes against the documented inventory, on a live session."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import xnat_luigi
from xnat_luigi.classes import ClassModel
from xnat_luigi.exceptions import XNATNotConnectedError, XNATValueError
from xnat_luigi.schema.reader import read_schemas
from xnat_luigi.standin import StandIn

from ..schema.material import own_schemas, real_schemas

HERE = Path(__file__).parent
INVENTORY: dict[str, Any] = json.loads((HERE / "classes.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("seed_checker", HERE / "check_seed_api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def session(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XNAT_LUIGI_CACHE", str(tmp_path))
    with xnat_luigi.connect(server.url, user="admin", password="admin") as session:
        yield session


def last_lines(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    return lines[-2], lines[-1]


def test_S259_S266_the_checker_finds_nothing_missing_on_a_live_session(
    server: StandIn,
    checker: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XNAT_PASSWORD", "admin")
    status = checker.main(
        [
            "--package=xnat_luigi",
            f"--api={HERE / 'api.json'}",
            f"--classes-inventory={HERE / 'classes.json'}",
            f"--classes={server.url}",
            "--user=admin",
            "--constructors",
        ]
    )
    text = capsys.readouterr().out
    classes, names = last_lines(text)
    assert classes == "generated classes: 229 of 229 classes, 694 of 694 properties", text
    assert re.fullmatch(
        r"seed API: (\d+) of \1 documented names present, 0 signature deviations", names
    ), text
    assert status == 0, text


@pytest.mark.parametrize("source", [own_schemas, real_schemas], ids=["own", "real"])
def test_S259_the_same_classes_come_from_ours_and_from_real_schemas(
    source: Any, checker: ModuleType
) -> None:
    classes = ClassModel(read_schemas(source()))
    report = checker.check_classes(checker.Package("xnat_luigi"), INVENTORY, classes, True)
    assert (report.classes_present, report.classes) == (229, 229)
    assert (report.present, report.documented) == (694, 694)
    assert report.deviations == 0


def test_S256_the_classes_are_those_of_the_server(session: Any) -> None:
    assert session.classes.MemoryTestData.__name__ == "MemoryTestData"
    assert session.classes.by_xsi_type("mem:memoryTestData") is session.classes.MemoryTestData
    with pytest.raises(AttributeError, match="NoSuchData"):
        session.classes.NoSuchData  # noqa: B018
    with pytest.raises(XNATValueError, match="fs:fsData"):
        session.classes.by_xsi_type("fs:fsData")


def test_S257_S258_extension_types_can_be_left_out(server: StandIn) -> None:
    with xnat_luigi.connect(
        server.url, user="admin", password="admin", extension_types=False
    ) as session:
        assert session.classes.MrSessionData
        assert not hasattr(session.classes, "MemoryTestData")
        assert not hasattr(session.classes, "Process")


def test_S158_all_classes_can_be_listed(session: Any) -> None:
    assert set(INVENTORY["classes"]) <= set(dir(session.classes))
    assert set(session.classes) <= set(dir(session.classes))


def test_S268_classes_know_their_session(server: StandIn, session: Any) -> None:
    with xnat_luigi.connect(server.url, user="admin", password="admin") as other:
        assert session.classes.current_session() is session
        assert other.classes.current_session() is other
        assert session.classes.MrSessionData.xnat_session is session
        assert other.classes.MrSessionData.xnat_session is other
        assert session.classes.MrSessionData is not other.classes.MrSessionData


def test_S264_no_source_text_is_made(session: Any, tmp_path: Path) -> None:
    import inspect

    with pytest.raises((OSError, TypeError)):
        inspect.getsource(session.classes.CtScanDataParameters)
    assert not list(tmp_path.rglob("*.py"))


def test_S266_classes_have_the_methods_of_their_mixin(session: Any) -> None:
    from xnat_luigi import mixin

    for name, entry in INVENTORY["classes"].items():
        for base in entry["bases"]:
            space, _, local = base.rpartition(".")
            if space == "mixin":
                assert issubclass(getattr(session.classes, name), getattr(mixin, local))


def test_S267_a_search_can_be_started_from_a_class(session: Any) -> None:
    cls = session.classes.MrSessionData
    query = cls.query(cls.age < 30, (cls.label == "a") | cls.label.like("b%"))
    text = query.to_string()
    assert b"<xdat:root_element_name>xnat:mrSessionData</xdat:root_element_name>" in text
    assert b"<xdat:schema_field>xnat:mrSessionData/age</xdat:schema_field>" in text
    assert b'<xdat:child_set method="OR">' in text
    with pytest.raises(XNATNotConnectedError, match="MrSessionData"):
        ClassModel(read_schemas(own_schemas())).MrSessionData.query()


def test_the_second_connect_reads_no_schema(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_CACHE", str(tmp_path))
    for expected in (True, False):
        server.log.clear()
        with xnat_luigi.connect(server.url, user="admin", password="admin") as session:
            assert session.classes.MrSessionData
            asked = [one.path for one in server.requests if one.method != "DELETE"]
        read = [path for path in asked if path.startswith("/xapi/schemas/")]
        assert bool(read) is expected
    assert len(asked) <= 5


def test_a_value_outside_the_limits_is_refused_before_it_is_sent(
    server: StandIn, session: Any
) -> None:
    cls = session.classes.DemographicData
    person = cls(uri="/data/subjects/X", xnat_session=session, datafields={"gender": "male"})
    server.log.clear()
    with pytest.raises(XNATValueError, match="gender"):
        person.gender = "neither"
    with pytest.raises(XNATValueError, match="education"):
        person.education = 31
    with pytest.raises(XNATValueError, match="xs:integer"):
        person.education = "many"
    assert [one for one in server.requests if one.method == "PUT"] == []


def test_problems_of_schemas_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    from xnat_luigi.schema import loading

    class Answer:
        def __init__(self, content: bytes) -> None:
            self.content = content
            self.text = content.decode("utf-8", "replace")
            self.status, self.method, self.path = 200, "GET", "/xapi/schemas"

        def json(self) -> Any:
            return json.loads(self.content)

    class Site:
        server = "http://site.example"

        def request(self, method: str, path: str, **options: Any) -> Answer:
            if path == "/xapi/schemas":
                return Answer(json.dumps([*own_schemas(), "broken"]).encode())
            name = path.removeprefix("/xapi/schemas/")
            return Answer(own_schemas().get(name, b"<html>"))

    site: Any = Site()
    with caplog.at_level(logging.WARNING, "xnat_luigi.schema"):
        model = loading.load_model(site, {"version": "1.8"}, folder=None)
    assert [record.message.count("'broken'") for record in caplog.records] == [1]
    assert model.find("xnat:projectData")
