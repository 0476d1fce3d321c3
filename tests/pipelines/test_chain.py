"""Sessions of real DICOM through NIfTI, measures and table, and exactly what must be made
again when something changes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import pytest

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.rest.documents import get_item
from xnat_luigi.rest.listings import list_assessors, list_sessions
from xnat_luigi.standin import StandIn
from xnat_luigi.targets.resource import FileTarget, ResourceTarget
from xnat_luigi.tasks import lineage
from xnat_luigi.tasks.fields import custom_variables

SESSIONS = int(os.environ.get("XNAT_LUIGI_SESSIONS", "5"))
"""20 take a minute; 5 show the same."""
LABELS = ("NIFTI", "QUALITY", "MEASURES")


class Made:
    """Counts how often results of each kind were made, by the seals that were written."""

    def __init__(self, server: StandIn) -> None:
        self._server = server
        self._seen = 0

    def __call__(self) -> dict[str, int]:
        asked = self._server.requests[self._seen :]
        self._seen += len(asked)
        seals = [r.path for r in asked if r.method == "PUT" and r.path.endswith("provenance.seal")]
        found = Counter(path.split("/resources/")[1].split("/")[0] for path in seals)
        return {label: found[label] for label in LABELS if found[label]}


def read(server: StandIn, label: str, path: str, **place: str) -> bytes:
    with FileTarget(server.url, "P1", label, path=path, **place).open("rb") as file:
        data: bytes = file.read()
    return data


def test_the_chain_makes_everything_once_and_again_what_must_be(
    server: StandIn,
    add_sessions: Callable[..., list[str]],
    luigi_command: Callable[..., Any],
    tmp_path: Path,
) -> None:
    labels = add_sessions(SESSIONS)
    made = Made(server)
    table = ("--module", "pipelines.table", "table.ProjectTable", "--stage", str(tmp_path / "in"))
    made()

    done = luigi_command(*table)
    assert done.returncode == 0, done.stderr[-4000:]
    assert made() == {"NIFTI": SESSIONS, "QUALITY": SESSIONS, "MEASURES": 1}
    rows = list(csv.DictReader(io.StringIO(read(server, "MEASURES", "measures.csv").decode())))
    assert len(rows) == SESSIONS
    assert all(float(row["snr"]) > 0 for row in rows)

    before = len(server.requests)
    assert luigi_command(*table).returncode == 0
    assert made() == {}, "the second run does nothing"
    assert len(server.requests) - before < 20, "and asks little, whatever the number of sessions"

    place = {"experiment": labels[-1], "scan": "1"}
    name = ResourceTarget(server.url, "P1", "DICOM", **place).files()[0].path
    original = read(server, "DICOM", name, **place)
    other = original[:-4000] + b"\x10\x02" * 2000  # other pixels, and one image less dark
    assert len(other) == len(original)
    with FileTarget(server.url, "P1", "DICOM", path=name, **place).open("wb") as file:
        file.write(other)
    made()
    uri = "/data/projects/P1/resources/MEASURES"
    faults = lineage.check(connection_for(server.url), uri)
    assert any(name in fault and "was replaced" in fault for fault in faults)
    done = luigi_command(*table)
    assert done.returncode == 0, done.stderr[-4000:]
    assert made() == {"NIFTI": 1, "QUALITY": 1, "MEASURES": 1}, "exactly the descendants"
    assert lineage.check(connection_for(server.url), uri) == []

    assert luigi_command(*table, "--threshold", "0.2").returncode == 0
    assert made() == {"QUALITY": SESSIONS, "MEASURES": 1}, "that step and what follows"
    assert luigi_command(*table, "--threshold", "0.2", "--deviations", "4").returncode == 0
    assert made() == {"MEASURES": 1}


@pytest.fixture
def one(
    server: StandIn, add_sessions: Callable[..., list[str]], luigi_command: Callable[..., Any]
) -> StandIn:
    """One session through all steps, with the default folder for inputs."""
    add_sessions(1, slices=5)
    done = luigi_command("--module", "pipelines.table", "table.ProjectTable", workers=1)
    assert done.returncode == 0, done.stderr[-4000:]
    return server


def test_what_comes_out_is_what_it_should_be(one: StandIn, tmp_path: Path) -> None:
    place = {"experiment": "S01_MR1", "scan": "1"}
    nifti = ResourceTarget(one.url, "P1", "NIFTI", **place).files()
    image = next(file.path for file in nifti if file.path.endswith(".nii.gz"))
    path = tmp_path / image
    path.write_bytes(read(one, "NIFTI", image, **place))
    assert nibabel.load(path).shape == (64, 64, 5)
    sidecar = json.loads(read(one, "NIFTI", image.replace(".nii.gz", ".json"), **place))
    assert sidecar["Modality"] == "MR"
    assert "PatientName" not in sidecar
    record = lineage.read_record(
        connection_for(one.url),
        ResourceTarget(one.url, "P1", "NIFTI", **place)
        .address(connection_for(one.url))
        .resource("NIFTI"),  # type: ignore[union-attr]
    )
    assert record.programs[0]["version"].startswith("Chris Rorden's dcm2niiX")
    assert record.programs[0]["status"] == 0
    assert "dcm2niix" in record.code["packages"]
    assessor = {"experiment": "S01_MR1", "assessor": "S01_MR1_1_QUALITY"}
    page = read(one, "QUALITY", "report.html", **assessor).decode()
    assert "<svg" in page
    assert "data:image/png;base64," in page
    measures = json.loads(read(one, "QUALITY", "measures.json", **assessor))
    assert set(measures["images"][image]) >= {"snr", "ghosting", "motion"}
    found = list_assessors(
        connection_for(one.url), list_sessions(connection_for(one.url), "P1")[0].id
    )
    values = custom_variables(get_item(connection_for(one.url), f"/data/experiments/{found[0].id}"))
    assert float(values["snr"]) == measures["images"][image]["snr"]


def test_the_way_leads_back_to_the_dicom(one: StandIn) -> None:
    node = lineage.trace(connection_for(one.url), "/data/projects/P1/resources/MEASURES")
    labels = [step.uri.rsplit("/", 1)[1] for step in node.walk()]
    assert labels == ["MEASURES", "QUALITY", "NIFTI", "DICOM"]
    assert [step.record is None for step in node.walk()] == [False, False, False, True]
