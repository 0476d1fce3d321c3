"""How few requests: a walk through sessions, scans and resources."""

from __future__ import annotations

import collections
import datetime
import re
import time
from typing import Any

from xnat_luigi.standin import StandIn


def test_walking_sessions_scans_and_resources_takes_two_requests_a_session(
    site: StandIn, session: Any
) -> None:
    for number in range(10):
        scans = {
            str(k): {"type": f"T{k}", "resources": {"DICOM": {"1.dcm": b"x"}, "NII": {"1": b"y"}}}
            for k in range(1, 11)
        }
        site.add_session("P2", "S1", f"E{number}", scans=scans)
    site.log.clear()
    seen = [
        (experiment.label, scan.type, resource.label, resource.file_count)
        for experiment in session.projects["P2"].experiments.values()
        for scan in experiment.scans.values()
        for resource in scan.resources.values()
    ]
    assert len(seen) == len(set(seen)) == 200
    asked = collections.Counter(re.sub(r"E\d+", "E", one.path) for one in site.requests)
    assert asked["/data/experiments/XNAT_E/scans"] == 10
    assert asked["/data/experiments/XNAT_E/resources"] == 10
    assert sum(asked.values()) <= 22, asked


def count(site: StandIn) -> int:
    """Requests since the last look."""
    # The log is written when an answer is out: let the last one be noted.
    for _ in range(100):
        found = len(site.requests)
        time.sleep(0.005)
        if found == len(site.requests):
            break
    site.log.clear()
    return found


def test_S108_what_a_listing_has_needs_no_document(
    session: Any, experiment: Any, site: StandIn
) -> None:
    scans = experiment.scans.listing
    count(site)
    assert [one.quality for one in scans] == ["usable"] * 3
    assert [one.series_description for one in scans] == ["T1 MPRAGE", None, None]
    assert experiment.date == datetime.date(2024, 2, 1) and experiment.label == "S1_MR1"
    assert session.projects["P1"].name == "first"
    assert count(site) == 0
    scans[0].quality = "unusable"
    assert scans[0].quality == "unusable"
    session.put(scans[1].uri, query={"xnat:mrScanData/quality": "questionable"})
    assert scans[1].quality == "usable"
    scans[1].clearcache()
    assert scans[1].quality == "questionable"


def test_a_listing_that_is_read_anew_renews_what_was_read_before(
    session: Any, experiment: Any, site: StandIn
) -> None:
    scan = experiment.scans["1"]
    assert scan.data["quality"] == "usable"
    session.put(scan.uri, query={"xnat:mrScanData/quality": "unusable"})
    experiment.scans.clearcache()
    assert experiment.scans["1"] is scan
    assert scan.quality == "unusable" and scan.data["quality"] == "unusable"


def test_fields_of_all_scans_take_two_requests(session: Any, site: StandIn) -> None:
    scans = {str(k): {"type": f"T{k}", "frames": str(k)} for k in range(1, 21)}
    site.add_session("P2", "S1", "MANY", scans=scans)
    found = session.projects["P2"].experiments["MANY"].scans.listing
    count(site)
    assert [one.frames for one in found] == list(range(1, 21))
    assert count(site) == 2  # the first by itself, the others with the session's document
    found[3].frames = 77
    assert [one.frames for one in found][2:5] == [3, 77, 5]
    session.put(found[5].uri, query={"xnat:mrScanData/frames": "99"})
    found[5].clearcache()
    assert found[5].frames == 99


def test_a_deleted_scan_is_gone_from_its_sessions_document(experiment: Any) -> None:
    assert [one.frames for one in experiment.scans.listing] == [None] * 3
    experiment.scans["2"].delete()
    left = [child for child in experiment.fulldata["children"] if child["field"] == "scans/scan"]
    assert [entry["data_fields"]["ID"] for entry in left[0]["items"]] == ["1", "3"]
