"""Fields, nested objects, custom variables; setting, sharing, deleting."""

from __future__ import annotations

import datetime
from collections.abc import MutableMapping, MutableSequence
from typing import Any

import pytest

from xnat_luigi.core import caching
from xnat_luigi.exceptions import (
    XNATForbiddenError,
    XNATObjectDestroyedError,
    XNATResponseError,
    XNATValueError,
)
from xnat_luigi.standin import StandIn

from .conftest import asked


def test_S132_fields_have_python_types(experiment: Any, project: Any) -> None:
    assert experiment.date == datetime.date(2024, 2, 1)
    assert experiment.note is None
    assert experiment.scans["1"].series_description == "T1 MPRAGE"
    assert project.subjects["S2"].demographics.age == 30


def test_S133_assigning_changes_the_server(experiment: Any, session: Any) -> None:
    experiment.note = 'a <b> & "c" ä'
    experiment.date = datetime.date(2024, 3, 2)
    session.clearcache()
    again = session.create_object(experiment.uri)
    assert again.data["date"] == "2024-03-02"
    assert experiment.date == datetime.date(2024, 3, 2)
    experiment.scans["1"].quality = "unusable"
    assert session.experiments[experiment.id].scans["1"].quality == "unusable"


def test_S133_a_value_of_the_wrong_type_is_never_sent(experiment: Any, site: StandIn) -> None:
    with pytest.raises(XNATValueError):
        experiment.date = "yesterday"
    assert not any(one.startswith("PUT /data/experiments") for one in asked(site))


def test_S134_S135_set_and_mset(experiment: Any) -> None:
    experiment.set("note", "one")
    assert experiment.get("note") == "one"
    experiment.mset({"note": "two"}, operator="me")
    assert (experiment.note, experiment.operator) == ("two", "me")
    experiment.mset(note="three", timeout=(5, 20))
    assert experiment.note == "three"
    experiment.set("date", datetime.date(2020, 1, 2), type_="xs:date")
    assert experiment.data["date"] == "2020-01-02"


def test_S135_a_field_the_server_does_not_know_is_an_error(experiment: Any) -> None:
    with pytest.raises(XNATResponseError, match="does not show") as caught:
        experiment.mset({"nonsense/x": "1"})
    assert len(str(caught.value)) < 400


def test_S136_get_converts(experiment: Any, project: Any) -> None:
    assert experiment.get("date") == "2024-02-01"
    assert experiment.get("date", type_="xs:date") == datetime.date(2024, 2, 1)
    assert experiment.get("date", type_=len) == 10
    assert experiment.get("nothing") is None
    demographics = project.subjects["S2"].get_object("demographics")
    assert demographics.gender == "female"
    with pytest.raises(XNATValueError, match="not known"):
        experiment.get_object("nonsense")


def test_S137_fields_of_a_project(project: Any, session: Any) -> None:
    project.description = "what it is for"
    session.clearcache()
    assert session.create_object(project.uri).description == "what it is for"


def test_S138_labels_can_be_changed(experiment: Any, project: Any, session: Any) -> None:
    experiment.label = "S1_NEW"
    assert experiment.label == "S1_NEW" and "S1_NEW" in project.experiments
    assert "S1_MR1" not in project.experiments
    subject = project.subjects["S2"]
    subject.label = "S2_NEW"
    assert subject.label == "S2_NEW" and "S2_NEW" in session.projects["P1"].subjects


def test_S139_del_clears(experiment: Any) -> None:
    experiment.note = "x"
    del experiment.note
    assert not experiment.note
    assert not experiment.data.get("note")


def test_S140_data_and_fulldata(experiment: Any) -> None:
    assert experiment.data["label"] == "S1_MR1"
    assert experiment.fulldata["data_fields"] == experiment.data
    assert experiment.fulldata["meta"]["xsi:type"] == "xnat:mrSessionData"
    assert {child["field"] for child in experiment.fulldata["children"]} >= {"scans/scan"}


def test_S141_paths_from_the_root(experiment: Any, project: Any) -> None:
    assert experiment.xpath == "xnat:mrSessionData"
    subject = project.subjects["S2"]
    assert subject.demographics.xpath.startswith("xnat:subjectData/demographics")
    assert experiment.scanner.xpath == "xnat:mrSessionData/scanner"


def test_S142_S148_nested_objects_and_lists(project: Any, experiment: Any, session: Any) -> None:
    demographics = project.subjects["S2"].demographics
    demographics.age = 31
    demographics.handedness = "left"
    session.clearcache()
    again = session.projects["P1"].subjects["S2"]
    assert (again.demographics.age, again.demographics.handedness) == (31, "left")
    experiment.scanner.manufacturer = "ACME"
    assert session.create_object(experiment.uri).scanner.manufacturer == "ACME"


def test_S148_lists_inside_are_mappings_and_sequences(project: Any) -> None:
    names = project.aliases
    assert issubclass(type(names), MutableMapping) and issubclass(type(names), MutableSequence)
    assert len(names) == 0 and list(names.listing) == []


def test_S143_S147_custom_variables(experiment: Any, project: Any, session: Any) -> None:
    fields: Any = project.subjects["S2"].fields
    assert issubclass(type(fields), MutableMapping) and len(fields) == 0
    fields["Cohort"] = "A"
    fields["count"] = 3
    assert dict(session.create_object(project.subjects["S2"].uri).fields) in (
        {"Cohort": "A", "count": "3"},
        {"cohort": "A", "count": "3"},
    )
    fields.update(count=4)
    fields.clearcache()
    assert fields["count"] == "4"
    del fields["count"]
    assert "count" not in fields
    with pytest.raises(KeyError):
        del fields["count"]
    project.fields["site"] = "here"
    assert project.fields["site"] == "here"


def test_S152_sharing(project: Any, experiment: Any, session: Any, site: StandIn) -> None:
    subject = project.subjects["S1"]
    subject.share(session.projects["P2"])
    experiment.share("P2", label="OTHER")
    assert "S1" in session.projects["P2"].subjects
    assert session.projects["P2"].experiments["OTHER"].id == experiment.id


def test_S153_S154_deleting(project: Any, experiment: Any, session: Any) -> None:
    scan = experiment.scans["2"]
    scan.delete()
    assert "2" not in experiment.scans
    assert "deleted" in repr(scan)
    with pytest.raises(XNATObjectDestroyedError):
        scan.fulldata  # noqa: B018
    id_ = experiment.id
    experiment.delete()
    assert "S1_MR1" not in project.experiments and id_ not in session.experiments
    with pytest.raises(XNATObjectDestroyedError):
        experiment.uri  # noqa: B018
    subject = project.subjects["S1"]
    subject.delete(remove_files=False)
    assert "S1" not in project.subjects


def test_A5_4_deleting_what_is_only_shared_takes_it_out_of_the_project(
    experiment: Any, session: Any
) -> None:
    experiment.subject.share("P2", "X1")
    experiment.share("P2", "X1_MR")
    session.projects["P2"].experiments["X1_MR"].delete()
    session.clearcache()
    assert len(session.projects["P2"].experiments) == 0
    assert "S1_MR1" in session.projects["P1"].experiments
    session.projects["P2"].subjects["X1"].delete()
    session.clearcache()
    assert len(session.projects["P2"].subjects) == 0 and "S1" in session.projects["P1"].subjects


def test_S153_who_may_not_delete_is_told(site: StandIn) -> None:
    import xnat_luigi as xnat

    site.add_user("looker", "secret", P1="collaborator")
    with xnat.connect(site.url, user="looker", password="secret") as session:
        experiment = session.projects["P1"].experiments["S1_MR1"]
        with pytest.raises(XNATForbiddenError) as caught:
            experiment.delete()
        assert experiment.id in str(caught.value) and "secret" not in str(caught.value)
        with pytest.raises(XNATForbiddenError):
            experiment.note = "mine"
        assert experiment.label == "S1_MR1"


def test_S109_S110_S111_objects_from_addresses(
    session: Any, experiment: Any, site: StandIn
) -> None:
    assert session.create_object(experiment.uri) is experiment
    full = session.create_object(f"{site.url}/data/experiments/{experiment.id}")
    assert full is experiment
    before = len(asked(site))
    made = session.create_object(
        f"/data/experiments/{experiment.id}/scans/1", type_="xnat:mrScanData", fieldname="scans"
    )
    assert made.fieldname == "scans" and type(made).__name__ == "MrScanData"
    assert len(asked(site)) <= before + 1  # the log may lag behind by one
    assert made.type == "T1" and made.parent.label == "S1_MR1"
    resource = session.create_object(experiment.scans["1"].resources["DICOM"].uri)
    assert resource.label == "DICOM" and resource.file_count == 2


def test_S112_never_an_entry_of_the_history(session: Any, experiment: Any, site: StandIn) -> None:
    import json

    from xnat_luigi.standin.faults import Fault

    def entry(note: str, old: bool) -> dict[str, Any]:
        return {
            "children": [],
            "data_fields": {"ID": experiment.id, "note": note},
            "meta": {"xsi:type": "xnat:mrSessionData", "isHistory": old},
        }

    body = json.dumps({"items": [entry("old", True), entry("new", False), entry("older", True)]})
    site.faults.add(Fault(method="GET", path=f"/experiments/{experiment.id}", replace=body))
    assert experiment.note == "new"
    again = session.create_object(f"/data/archive/experiments/{experiment.id}")
    assert again.note == "new"
    site.faults.clear()


def test_S115_an_investigator_prints_as_a_name(project: Any) -> None:
    project.pi.firstname = "Jane"
    project.pi.lastname = "Doe"
    assert "Jane Doe" in str(project.pi)


def test_S116_what_it_has_can_be_looked_through(experiment: Any) -> None:
    names = dir(experiment)
    assert {"scans", "date", "scanner", "download_dir", "fields", "resources"} <= set(names)


def test_S129_the_decorator_keeps(session: Any) -> None:
    class Counted:
        def __init__(self) -> None:
            self._cache: dict[str, Any] = {}
            self.caching = True
            self.count = 0

        @property
        @caching
        def value(self) -> int:
            self.count += 1
            return self.count

        @caching
        def method(self) -> str:
            return f"called {self.value}"

    one = Counted()
    assert (one.value, one.value, one.method()) == (1, 1, "called 1")
    assert one._cache == {"value": 1, "method": "called 1"}
    one.caching = False
    assert [one.value, one.value] == [2, 3]


def test_S130_an_object_is_read_anew(experiment: Any, session: Any) -> None:
    assert experiment.note is None
    session.put(experiment.uri, query={"xnat:mrSessionData/note": "by others"})
    assert experiment.note is None
    experiment.clearcache()
    note: Any = experiment.get("note")
    assert note == "by others" and experiment.label == "S1_MR1"


def test_S151_url_for(session: Any, experiment: Any, site: StandIn) -> None:
    assert session.url_for(experiment) == experiment.external_uri()
    shown = session.url_for(experiment, query={"a": "b c"}, scheme="https")
    assert shown.startswith("https://127.0.0.1") and shown.endswith("?a=b+c")


def test_A4_errors_name_object_address_and_message(session: Any, site: StandIn) -> None:
    with pytest.raises(XNATResponseError) as caught:
        session.create_object("/data/experiments/XNAT_E99999")
    text = str(caught.value)
    assert "/data/experiments/XNAT_E99999" in text and "404" in text
    assert caught.value.status == caught.value.status_code == 404
    assert "admin" not in text.replace(site.url, "")


def test_A5_2_quarantine_and_back(experiment: Any, session: Any) -> None:
    assert experiment.status == "active"
    experiment.quarantine()
    assert experiment.status == "quarantine"
    experiment.activate()
    assert experiment.status == "active"
    assert experiment.data["label"] == "S1_MR1"


def test_assessors_are_objects_like_others(experiment: Any, session: Any, site: StandIn) -> None:
    made = experiment.create_assessor("QC1", "xnat:qcManualAssessorData")
    made.note = "looked at"
    made.fields["verdict"] = "good"
    resource = made.create_resource("REPORT")
    resource.upload("fine", "report.txt")
    session.clearcache()
    again = session.experiments[experiment.id].assessors["QC1"]
    assert (again.note, again.fields["verdict"], again.label) == ("looked at", "good", "QC1")
    assert again.resources["REPORT"].files["report.txt"].open().read() == b"fine"
    assert again.parent.id == experiment.id
    reached = session.create_object(again.uri)
    assert reached.id == again.id and "REPORT" in reached.resources
    again.label = "QC2"
    assert "QC2" in experiment.assessors
    experiment.assessors["QC2"].delete()
    assert len(experiment.assessors) == 0


def test_reconstructions_are_listed_and_have_resources(experiment: Any, session: Any) -> None:
    session.put(
        f"{experiment.uri}/reconstructions/R1", query={"xsiType": "xnat:reconstructedImageData"}
    )
    (found,) = experiment.reconstructions.listing
    assert found.id == "R1"
