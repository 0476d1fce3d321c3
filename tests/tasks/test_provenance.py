"""Where results came from, asked on the command line: show, graph, check, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastjsonschema
import luigi
import pytest

from xnat_luigi.cli import main
from xnat_luigi.standin import StandIn
from xnat_luigi.targets.resource import FileTarget, ResourceTarget
from xnat_luigi.tasks import DerivedTask

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "record.schema.json"


class Copied(DerivedTask):
    """A first step, with a program."""

    inputs = {"dicom": "DICOM"}
    result = "COPIED"
    packages = ("luigi",)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        code = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
        self.call(sys.executable, "-c", code, inputs["dicom"], workdir / "copy")


class Counted(DerivedTask):
    """A second step."""

    inputs = {"copied": "COPIED"}
    result = "COUNTED"

    base: int = luigi.IntParameter(default=10)

    def requires(self) -> Copied:
        return self.derive(Copied)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> Mapping[str, Any]:
        count = len(list(inputs["copied"].rglob("*.dcm")))
        (workdir / "count.txt").write_text(f"{count}\n")
        return {"note": f"{count} images"}


@pytest.fixture
def uri(
    server: StandIn,
    add_session: Callable[..., str],
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Address of a result of two steps."""
    session = add_session()
    words = {"server": server.url, "project": "P1", "experiment": "S1_MR1", "scan": "1"}
    run(Counted(stage=str(tmp_path / "stage"), **words))
    return f"/data/experiments/{session}/scans/1/resources/COUNTED"


@pytest.fixture
def ask(server: StandIn, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `xnat-luigi provenance` and answers status and output."""

    def call(question: str, *words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["provenance", question, "--server", server.url, *words])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def test_show_is_the_record_as_published(uri: str, ask: Callable[..., tuple[int, str]]) -> None:
    validate = fastjsonschema.compile(json.loads(SCHEMA.read_text()))
    for address in (uri, uri.replace("COUNTED", "COPIED")):
        status, said = ask("show", address)
        assert status == 0
        record = json.loads(said)
        validate(record)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        validate({**record, "state": "half"})
    assert record["programs"][0]["version"].startswith("Python 3")
    assert record["code"]["packages"].keys() == {"luigi"}
    assert len(record["inputs"][0]["files"]) == 2


def test_no_label_of_a_person_is_in_a_record(uri: str, ask: Callable[..., tuple[int, str]]) -> None:
    _, said = ask("show", uri)
    record = json.loads(said)
    for one in [record["outputs"], *record["inputs"]]:
        del one["files"]  # names of files are what they are
    assert record["inputs"][0]["labels"] == {}
    assert "S1" not in json.dumps(record)


def test_graph_goes_up_to_the_dicom(uri: str, ask: Callable[..., tuple[int, str]]) -> None:
    status, said = ask("graph", uri)
    assert status == 0
    lines = said.splitlines()
    assert [line.split("/resources/")[1].split()[0] for line in lines] == [
        "COUNTED",
        "COPIED",
        "DICOM",
    ]
    assert "raw data, 2 files" in lines[2]
    _, dot = ask("graph", "--format", "dot", uri)
    assert dot.count(" -> ") == 2
    _, svg = ask("graph", "--format", "svg", uri)
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_check_finds_a_replaced_input_and_only_that(
    server: StandIn, uri: str, ask: Callable[..., tuple[int, str]]
) -> None:
    assert ask("check", uri) == (0, "result and inputs are what the records say\n")
    place = {"experiment": "S1_MR1", "scan": "1"}
    name = ResourceTarget(server.url, "P1", "DICOM", **place).files()[0].path
    with FileTarget(server.url, "P1", "DICOM", path=name, **place).open("wb") as file:
        file.write(b"replaced")
    status, said = ask("check", uri)
    assert status == 10
    assert len(said.splitlines()) == 1
    assert f"was replaced: {name}" in said


def test_check_finds_a_result_that_was_touched(
    server: StandIn, uri: str, ask: Callable[..., tuple[int, str]]
) -> None:
    place = {"experiment": "S1_MR1", "scan": "1"}
    target = FileTarget(server.url, "P1", "COPIED", path="notes.txt", **place)
    with target.open("w") as file:
        file.write("I was here")
    status, said = ask("check", uri)
    assert status == 10
    assert "its files are not those of its record" in said
    assert "input copied" in said


def test_what_has_no_record_says_so(uri: str, ask: Callable[..., tuple[int, str]]) -> None:
    for question in ("show", "check"):
        status, said = ask(question, uri.replace("COUNTED", "DICOM"))
        assert status == 3
        assert "has no provenance.json" in said
    status, said = ask("show", uri.replace("COUNTED", "NOPE"))
    assert status == 3
    status, said = ask("show", "/data/experiments/E")
    assert status == 2


def test_export_is_a_crate_that_its_library_reads(
    server: StandIn, uri: str, ask: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    from rocrate.rocrate import ROCrate

    status, said = ask("export", uri)
    assert status == 2
    assert "--folder" in said
    folder = tmp_path / "crate"
    status, said = ask("export", "--folder", str(folder), uri)
    assert status == 0, said
    crate = ROCrate(str(folder))
    actions = crate.get_by_type("CreateAction")
    assert len(actions) == 2
    files = {one.id: one for one in crate.get_by_type("File")}
    dicom = [one for name, one in files.items() if "/resources/DICOM/files/" in name]
    assert len(dicom) == 2
    assert all(len(one["md5"]) == 32 and int(one["contentSize"]) > 0 for one in dicom)
    assert all(name.startswith(server.url) for name in files)
    values = {one["name"]: one["value"] for one in crate.get_by_type("PropertyValue")}
    assert values == {"base": "10"}
    main_entity = crate.root_dataset["mainEntity"]
    assert main_entity.id.rstrip("/") == server.url + uri
    status, said = ask("export", "--folder", str(folder), uri)
    assert status == 2
    assert "not empty" in said
