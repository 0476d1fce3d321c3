"""Results that are values: assessors with files beside them, custom variables, scan quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import luigi
import pytest

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.exceptions import XNATNotFoundError, XNATUploadError
from xnat_luigi.rest import listings
from xnat_luigi.rest.documents import get_item
from xnat_luigi.rest.items import set_fields
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot
from xnat_luigi.targets.resource import FileTarget, ResourceTarget
from xnat_luigi.tasks import DerivedAssessor, EveryScan, SetFields
from xnat_luigi.tasks.condition import Condition
from xnat_luigi.tasks.fields import custom_variables, full_path

CALLS: list[str] = []


class Volume(DerivedAssessor):
    """A value and a page for every scan."""

    inputs = {"dicom": "DICOM"}
    result = "VOLUME"

    factor: float = luigi.FloatParameter(default=1.0)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> Mapping[str, Any]:
        CALLS.append(f"{self.experiment}/{self.scan}")
        size = sum(path.stat().st_size for path in inputs["dicom"].iterdir())
        (workdir / "report.html").write_text(f"<p>{size}</p>")
        return {"custom.volume": size * self.factor, "custom.Unit": "bytes & more"}


class AllVolumes(EveryScan):
    step = Volume


@pytest.fixture
def session(server: StandIn, add_session: Callable[..., str]) -> str:
    CALLS.clear()
    return add_session(series=2)


@pytest.fixture
def step(server: StandIn, session: str, tmp_path: Path) -> Callable[..., Any]:
    def make(kind: type[luigi.Task] = Volume, **more: Any) -> Any:
        luigi.Task.clear_instance_cache()
        words = {"experiment": "S1_MR1", "scan": "1"} if kind is Volume else {}
        stage = str(tmp_path / "stage")
        return kind(server=server.url, project="P1", stage=stage, **{**words, **more})

    return make


def assessors(server: StandIn, session: str) -> dict[str, str]:
    found = listings.list_assessors(connection_for(server.url), session)
    return {one.label: one.id for one in found}


def values(server: StandIn, session: str, label: str) -> dict[str, str]:
    path = f"/data/experiments/{session}/assessors/{assessors(server, session)[label]}"
    return custom_variables(get_item(connection_for(server.url), path))


def test_one_assessor_a_scan_with_values_and_files(
    server: StandIn, session: str, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step(), step(scan="2"))
    assert sorted(assessors(server, session)) == ["S1_MR1_1_VOLUME", "S1_MR1_2_VOLUME"]
    found = values(server, session, "S1_MR1_1_VOLUME")
    assert float(found["volume"]) > 0
    assert found["unit"] == "bytes & more"
    page = FileTarget(
        server.url,
        "P1",
        "VOLUME",
        experiment=session,
        assessor="S1_MR1_1_VOLUME",
        path="report.html",
    )
    with page.open() as file:
        assert file.read().startswith("<p>")
    assert step().look().condition is Condition.CURRENT
    run(step(), step(experiment=session))
    assert CALLS == ["S1_MR1/1", "S1_MR1/2"], "by ID or label, it is the same assessor"


def test_it_is_updated_and_never_doubled(
    server: StandIn, session: str, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())
    before = values(server, session, "S1_MR1_1_VOLUME")
    assert step(factor=2.0).look().condition is Condition.STALE
    run(step(factor=2.0))
    after = values(server, session, "S1_MR1_1_VOLUME")
    assert float(after["volume"]) == 2 * float(before["volume"])
    assert list(assessors(server, session)) == ["S1_MR1_1_VOLUME"]


def test_a_value_edited_by_hand_is_seen(
    server: StandIn, session: str, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())
    before = values(server, session, "S1_MR1_1_VOLUME")
    path = f"/data/experiments/{session}/assessors/{assessors(server, session)['S1_MR1_1_VOLUME']}"
    key = full_path("xnat:qcAssessmentData", "custom.volume")
    set_fields(connection_for(server.url), path, {key: "7"})
    found = step().look()
    assert found.condition is Condition.DAMAGED
    assert "volume" in found.reasons[0]
    step(AllVolumes).look_around()
    assert not step().complete(), "a snapshot does not hide it"
    run(step())
    assert values(server, session, "S1_MR1_1_VOLUME") == before


def test_an_assessor_of_another_type_is_left_alone(
    server: StandIn, session: str, step: Callable[..., Any]
) -> None:
    server.add_assessor("P1", "S1_MR1", "S1_MR1_1_VOLUME", xsi_type="xnat:qcManualAssessorData")
    with pytest.raises(XNATUploadError, match="is a xnat:qcManualAssessorData"):
        step().run()
    assert CALLS == []


def test_all_scans_are_looked_at_in_few_requests(
    server: StandIn,
    add_session: Callable[..., str],
    step: Callable[..., Any],
    run: Callable[..., Any],
) -> None:
    for number in range(2, 6):
        add_session(f"S{number}_MR1")
    every = step(AllVolumes)
    assert not every.complete()
    run(step(AllVolumes))
    assert len(CALLS) == 6
    step(AllVolumes).look_around()
    seen = len(server.requests)
    assert step(AllVolumes).complete()
    assert len(server.requests) == seen, "the snapshot answers all of it"
    again = step(AllVolumes)

    snapshot.forget()
    assert again.complete()
    assert len(server.requests) - seen == 3, "sessions, files, assessors"


class TestSetFields:
    @pytest.fixture
    def task(self, server: StandIn, session: str) -> Callable[..., SetFields]:
        def make(fields: Mapping[str, Any], **place: str) -> SetFields:
            luigi.Task.clear_instance_cache()
            words = {"experiment": "S1_MR1", **place}
            return SetFields(server=server.url, project="P1", fields=fields, **words)

        return make

    @pytest.mark.parametrize(
        ("fields", "place"),
        [
            ({"quality": "unusable"}, {"scan": "1"}),
            ({"note": "looked at twice"}, {}),
            ({"custom.cohort": "A", "custom.age_group": 3}, {}),
            ({"xnat:mrSessionData/note": "by its full path"}, {}),
        ],
    )
    def test_it_is_done_once(
        self,
        server: StandIn,
        task: Callable[..., Any],
        run: Callable[..., Any],
        fields: dict[str, Any],
        place: dict[str, str],
    ) -> None:
        assert task(fields, **place).complete() is False
        run(task(fields, **place))
        assert task(fields, **place).complete() is True
        seen = len(server.requests)
        run(task(fields, **place))
        assert not [r for r in server.requests[seen:] if r.method in ("PUT", "POST")]

    def test_a_custom_variable_goes_beside_others(
        self, server: StandIn, session: str, task: Callable[..., Any], run: Callable[..., Any]
    ) -> None:
        run(task({"custom.one": "1"}))
        run(task({"custom.two": "2"}))
        item = get_item(connection_for(server.url), f"/data/experiments/{session}")
        assert custom_variables(item) == {"one": "1", "two": "2"}

    def test_what_is_no_field_is_an_error(self, task: Callable[..., Any]) -> None:
        with pytest.raises(Exception, match="no field of xnat:mrSessionData"):
            task({"xnat:mrSessionData/nothing_like_it": "x"}).run()
        with pytest.raises(Exception, match="no field is named"):
            task({}).run()
        with pytest.raises(XNATNotFoundError, match="no item"):
            task({"note": "x"}, experiment="S9_MR1").run()


def test_inputs_of_an_assessor_have_a_place_of_their_own(server: StandIn, session: str) -> None:
    server.add_assessor("P1", "S1_MR1", "S1_QC", resources={"OUT": {"o.txt": b"o"}})
    place = {"experiment": "S1_MR1", "assessor": "S1_QC"}
    target = FileTarget(server.url, "P1", "USED", path="i.txt", direction="in", **place)
    with target.open("wb") as file:
        file.write(b"went in")
    assert ResourceTarget(server.url, "P1", "USED", direction="in", **place).exists()
    assert not ResourceTarget(server.url, "P1", "USED", **place).exists()
    with target.open() as file:
        assert file.read() == "went in"
