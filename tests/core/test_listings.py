"""Listings as mappings by ID, by label and by position; filters and tables."""

from __future__ import annotations

from typing import Any

import pytest

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.standin import StandIn

from .conftest import asked


def test_S096_S097_S098_by_id_by_label_by_position(session: Any, project: Any) -> None:
    experiment = project.experiments["S1_MR1"]
    assert project.experiments[experiment.id] is experiment
    assert project.experiments[0] is experiment
    assert project.experiments[-1].label == "S1_CT1"
    assert [one.label for one in project.experiments[0:2]] == ["S1_MR1", "S1_CT1"]
    assert session.projects["first"].id == "P1"
    with pytest.raises(KeyError, match="neither ID nor label"):
        project.experiments["NOPE"]
    with pytest.raises(IndexError):
        project.experiments[2]


def test_S099_like_a_dict(project: Any) -> None:
    experiments = project.experiments
    assert len(experiments) == 2 and list(experiments) == list(experiments.keys())
    assert list(experiments.values()) == list(experiments.listing)
    assert [(key, one.label) for key, one in experiments.items()] == [
        (one.id, one.label) for one in experiments.listing
    ]
    assert "S1_MR1" in experiments and experiments[0].id in experiments
    assert "NOPE" not in experiments and [] not in experiments
    assert experiments.get("NOPE") is None


def test_S100_S114_how_they_print(project: Any, experiment: Any) -> None:
    subject = project.subjects["S2"]
    assert str(subject) == f"<SubjectData S2 ({subject.id})>" == repr(subject)
    assert f"({subject.id}, S2): {subject}" in str(project.subjects)
    assert str(project.subjects).startswith("<XNATListing (")
    assert str(experiment.scans["1"]) == "<MrScanData T1 (1)>"
    assert str(project) == "<ProjectData first (P1)>"


def test_S101_S103_four_views_of_one_answer(project: Any, site: StandIn) -> None:
    subjects = project.subjects
    assert set(subjects.key_map) == {"S1", "S2"}
    assert [one.id for one in subjects.listing] == list(subjects.data)
    assert subjects.non_unique_keys == set()
    assert subjects.data_maps[0] is subjects.data
    assert sum("/subjects" in one for one in asked(site)) == 1


def test_S102_a_label_of_two_is_no_key(experiment: Any) -> None:
    scans = experiment.scans
    assert scans.non_unique_keys == {"T2"}
    with pytest.raises(KeyError, match="more than one"):
        scans["T2"]
    assert scans["T1"].id == "1" and scans["3"].type == "T2"


def test_S104_S105_filters_add_up(project: Any) -> None:
    found = project.subjects.filter(label="S*")
    assert [one.label for one in found.listing] == ["S1", "S2"]
    again = found.filter({"label": "S*", "ID": project.subjects["S2"].id})
    assert [one.label for one in again.listing] == ["S2"]
    assert again.used_filters == {"label": "S*", "ID": project.subjects["S2"].id}
    assert project.subjects.used_filters == {}
    with pytest.raises(ValueError, match="contradicts"):
        found.filter(label="T*")


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        ("S1_MR1", ["S1_MR1"]),
        ("S1_?R*", ["S1_MR1"]),
        ("MR1", []),
        ("S1_MR1,S1_CT1", 2),
        ("s1*", []),
    ],
)
def test_S104_wildcards_mean_the_whole_label(project: Any, wanted: str, labels: Any) -> None:
    found = [one.label for one in project.experiments.filter(label=wanted).listing]
    assert (len(found) if isinstance(labels, int) else found) == labels


def test_S104_A3_4_scans_are_filtered_though_the_server_ignores_it(experiment: Any) -> None:
    assert [one.id for one in experiment.scans.filter(type="T2").listing] == ["2", "3"]
    assert [one.id for one in experiment.scans.filter(series_description="T1*").listing] == ["1"]


def test_S106_a_table(project: Any, experiment: Any) -> None:
    table = project.experiments.tabulate(columns=["label", "xsiType", "date"])
    assert isinstance(table, tuple)
    assert [(row.label, row.xsitype) for row in table] == [
        ("S1_MR1", "xnat:mrSessionData"),
        ("S1_CT1", "xnat:ctSessionData"),
    ]
    assert table[0].date == "2024-02-01" and table[0]._fields == ("label", "xsitype", "date")
    assert {"id", "label", "uri"} <= set(project.subjects.tabulate()[0]._fields)
    only = experiment.scans.tabulate(columns=["ID", "quality"], filter={"type": "T1"})
    assert [(row.id, row.quality) for row in only] == [("1", "usable")]


def test_S106_a_table_as_csv(project: Any) -> None:
    text = project.experiments.tabulate_csv(columns=["label", "date"])
    assert text == "label,date\nS1_MR1,2024-02-01\nS1_CT1,\n"
    only = project.experiments.tabulate_csv(["label"], {"label": "*CT*"}, header=False)
    assert only == "S1_CT1\n"


def test_S107_a_filter_that_contradicts(project: Any) -> None:
    with pytest.raises(ValueError, match="contradicts"):
        project.subjects.filter(label="S1").tabulate(filter={"label": "S2"})
    assert issubclass(XNATValueError, ValueError)
    with pytest.raises(XNATValueError, match="column 'nonsense'"):
        project.subjects.tabulate(columns=["nonsense"])


def test_S108_labels_and_types_need_no_request_of_their_own(project: Any, site: StandIn) -> None:
    assert [one.label for one in project.experiments.listing] == ["S1_MR1", "S1_CT1"]
    assert [type(one).__name__ for one in project.experiments.listing] == [
        "MrSessionData",
        "CtSessionData",
    ]
    str(project.experiments)
    assert sum("/experiments" in one for one in asked(site)) == 1, asked(site)


def test_S093_S094_S095_down_through_all_levels(session: Any, experiment: Any) -> None:
    assert set(session.projects) == {"P1", "P2"}
    assert session.subjects["S1"].id in session.projects["P1"].subjects
    assert experiment.id in session.experiments
    subject = session.projects["P1"].subjects["S1"]
    assert subject.experiments["S1_MR1"].id == experiment.id
    file = experiment.scans["1"].resources["DICOM"].files["2.dcm"]
    assert file.file_size == 7


def test_S117_files_of_every_level(project: Any, experiment: Any, site: StandIn) -> None:
    site.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    assert [one.path for one in project.files.listing] == ["read me.txt"]
    assert project.subjects["S1"].files.listing == []
    assert {one.path for one in experiment.files.listing} == {"log.txt", "sub/log.txt"}
    assert {one.path for one in experiment.scans["1"].files.listing} == {
        "1.dcm",
        "2.dcm",
        "a/b.nii",
    }
    assert [one.path for one in experiment.assessors["QC1"].files.listing] == ["r.txt"]
    assert [one.path for one in experiment.resources["LOGS"].files.listing] == [
        "log.txt",
        "sub/log.txt",
    ]


def test_S192_assessor_files_have_no_leading_slash(experiment: Any, site: StandIn) -> None:
    site.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"a/r.txt": b"fine"}})
    (file,) = experiment.assessors["QC1"].resources["REPORT"].files.listing
    assert file.path == "a/r.txt" and file.id == "r.txt"


def test_S119_resources_of_every_level(project: Any, experiment: Any, site: StandIn) -> None:
    site.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    site.add_subject("P1", "S2", resources={"NOTES": {"n.txt": b"n"}})
    for owner, label, count in (
        (project, "DOCS", 1),
        (project.subjects["S2"], "NOTES", 1),
        (experiment, "LOGS", 2),
        (experiment.scans["1"], "DICOM", 2),
        (experiment.assessors["QC1"], "REPORT", 1),
    ):
        resource = owner.resources[label]
        assert (resource.label, resource.file_count) == (label, count)
        assert len(resource.files) == count
        assert resource.uri.rpartition("/")[2] == resource.id


def test_S118_a_resource_gives_no_warning(
    experiment: Any, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    resource = experiment.resources["LOGS"]
    assert resource.data["label"] == "LOGS" and resource.fulldata["data_fields"]["label"] == "LOGS"
    assert not caplog.records and not list(recwarn)


def test_S126_S127_S130_what_is_kept(project: Any, session: Any, site: StandIn) -> None:
    project.subjects.listing  # noqa: B018
    site.add_subject("P1", "S3")
    assert "S3" not in project.subjects
    session.clearcache()
    assert "S3" in project.subjects
    site.add_subject("P1", "S4")
    project.subjects.clearcache()
    assert "S4" in project.subjects


def test_S128_nothing_is_kept_without_caching(project: Any, session: Any, site: StandIn) -> None:
    project.subjects.caching = False
    assert "S3" not in project.subjects
    site.add_subject("P1", "S3")
    assert "S3" in project.subjects
    del project.subjects.caching
    session.caching = False
    site.add_subject("P1", "S4")
    assert "S4" in session.projects["P1"].subjects
    experiment = session.projects["P1"].experiments["S1_MR1"]
    assert not experiment.caching
    experiment.caching = True
    assert experiment.caching


def test_S113_shared_items_look_as_in_the_project_asked_through(
    session: Any, experiment: Any, site: StandIn
) -> None:
    experiment.subject.share("P2", "X1")
    experiment.share("P2", "X1_MR")
    shared = session.projects["P2"].experiments["X1_MR"]
    assert (shared.id, shared.label, shared.project) == (experiment.id, "X1_MR", "P2")
    assert experiment.label == "S1_MR1" and experiment.project == "P1"
    assert session.projects["P2"].subjects["X1"].project == "P2"
    through = session.create_object(f"/data/projects/P2/experiments/{experiment.id}")
    assert (through.label, through.project) == ("X1_MR", "P2")


def test_A8_7_rows_without_an_id_are_left_out_aloud(
    session: Any, site: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    from xnat_luigi.standin.faults import Fault

    body = '{"ResultSet":{"Result":[{"ID":"","label":"x"},{"ID":"S","label":"y"}]}}'
    site.faults.add(Fault(method="GET", path="/projects/P2/subjects", replace=body))
    with caplog.at_level("WARNING"):
        assert list(session.projects["P2"].subjects) == ["S"]
    assert "without an ID" in caplog.text
    site.faults.clear()
