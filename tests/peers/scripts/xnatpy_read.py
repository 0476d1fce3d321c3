"""The official client `xnat` reads what somebody else has archived."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import xnat
from journeys import by_name, main, md5s


def connect(facts: dict[str, Any]) -> Any:
    return xnat.connect(
        facts["url"], user=facts["user"], password=facts["password"], loglevel="ERROR"
    )


def witness(facts: dict[str, Any]) -> dict[str, Any]:
    """Lists a session and downloads it whole; says what it saw and the bytes' digests."""
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        found = {}
        for experiment in project.experiments.values():
            target = Path(facts["folder"], experiment.label)
            target.mkdir()
            experiment.download_dir(str(target), verbose=False)
            found[experiment.label] = {
                "subject": experiment.subject.label,
                "type": experiment.__xsi_type__,
                "uid": experiment.uid,
                "scans": {
                    scan.id: {
                        label: sorted(resource.files.keys())
                        for label, resource in ((one.label, one) for one in scan.resources.values())
                    }
                    for scan in experiment.scans.values()
                },
                "files": by_name(target),
            }
        return {"version": session.xnat_version, "experiments": found}


def every_level(facts: dict[str, Any]) -> dict[str, Any]:
    """Downloads the same bytes as file, resource, scan, session, subject and project."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        subject = project.subjects[facts["subject"]]
        experiment = subject.experiments[facts["session"]]
        scan = experiment.scans[facts["scan"]]
        resource = scan.resources["DICOM"]
        single = Path(facts["folder"], "single")
        single.mkdir()
        for file in resource.files.values():
            file.download(str(single / file.id), verbose=False)
            with file.open() as stream:
                assert stream.read() == (single / file.id).read_bytes()
        found["file"] = by_name(single)
        for name, item in (
            ("resource", resource),
            ("scan", scan),
            ("session", experiment),
            ("subject", subject),
            ("project", project),
        ):
            with tempfile.TemporaryDirectory() as folder:
                item.download_dir(folder, verbose=False)
                found[name] = by_name(folder)
                found[f"{name} paths"] = sorted(md5s(folder))
        archive = Path(facts["folder"], "scan.zip")
        scan.download(str(archive), verbose=False)
        found["zip size"] = archive.stat().st_size
        found["size"] = sum(int(file.file_size) for file in scan.files.values())
        with next(iter(scan.files.values())).open() as stream:
            found["first bytes"] = len(stream.read(132))
        found["header"] = str(scan.read_dicom().PatientID)
    return found


def listings(facts: dict[str, Any]) -> dict[str, Any]:
    """Lists, filters and tabulates."""
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        sessions = project.experiments
        table = sessions.tabulate(columns=("label", "date"))
        return {
            "projects": sorted(session.projects.keys()),
            "subjects": sorted(subject.label for subject in project.subjects.values()),
            "experiments": sorted(one.label for one in sessions.values()),
            "filtered": sorted(
                one.label for one in sessions.filter({"label": facts["pattern"]}).values()
            ),
            "table": sorted((row.label, str(row.date)) for row in table),
            "everywhere": sorted(one.label for one in session.experiments.values()),
            "scan types": sorted(
                {scan.type for one in sessions.values() for scan in one.scans.values()}
            ),
            "missing": "nothing" in project.experiments,
        }


if __name__ == "__main__":
    main({"witness": witness, "every_level": every_level, "listings": listings})
