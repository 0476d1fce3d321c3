"""The official client `xnat` creates, uploads, changes and deletes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import xnat
from journeys import main, md5s

METHODS = ("per_file", "tar_memory", "tgz_memory", "tar_file", "tgz_file")


def connect(facts: dict[str, Any]) -> Any:
    return xnat.connect(
        facts["url"], user=facts["user"], password=facts["password"], loglevel="ERROR"
    )


def create(facts: dict[str, Any]) -> dict[str, Any]:
    """Project, subject, session, scan, assessor and resources, one after the other."""
    with connect(facts) as session:
        made = session.classes
        project = made.ProjectData(parent=session, id_="PX", name="PX")
        subject = made.SubjectData(parent=project, label="S1")
        experiment = made.MrSessionData(parent=subject, label="S1_MR1")
        scan = made.MrScanData(parent=experiment, id="7", type="T1", series_description="a scan")
        resource = scan.create_resource("NIFTI", format="NIFTI")
        assert resource.label == "NIFTI", resource
        project.create_resource("NOTES")
        subject.create_resource("FORMS")
        experiment.create_resource("LOGS")
        try:  # the assessor is made; then the client fails to wrap it (docs/strangers.md)
            experiment.create_assessor("S1_QC", "xnat:qcManualAssessorData")
        except KeyError as error:
            assert error.args == ("id_",), error
        session.clearcache()
        project = session.projects["PX"]
        experiment = project.experiments["S1_MR1"]
        return {
            "subject": project.subjects["S1"].label,
            "experiment": experiment.label,
            "scan": experiment.scans["7"].type,
            "description": experiment.scans["7"].series_description,
            "assessor": [[a.label, a.__xsi_type__] for a in experiment.assessors.values()],
            "resources": {
                "project": [r.label for r in project.resources.values()],
                "subject": [r.label for r in project.subjects["S1"].resources.values()],
                "experiment": [r.label for r in experiment.resources.values()],
                "scan": [r.label for r in experiment.scans["7"].resources.values()],
            },
        }


def change(facts: dict[str, Any]) -> dict[str, Any]:
    """Fields, custom variables, quality, renaming."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        subject = project.subjects[facts["subject"]]
        experiment = subject.experiments[facts["session"]]
        project.description = "words & <signs>"
        subject.demographics.gender = "female"
        subject.demographics.age = 31
        experiment.note = "seen"
        experiment.scans["1"].quality = "questionable"
        project.fields["site"] = "here"
        subject.fields["handed"] = "left"
        experiment.fields["qc_status"] = "passed"
        experiment.fields["qc_status"] = "failed"
        session.clearcache()
        project = session.projects[facts["project"]]
        subject = project.subjects[facts["subject"]]
        experiment = subject.experiments[facts["session"]]
        found["description"] = project.description
        found["gender"] = subject.demographics.gender
        found["age"] = subject.demographics.age
        found["note"] = experiment.note
        found["quality"] = experiment.scans["1"].quality
        found["fields"] = {
            "project": dict(project.fields),
            "subject": dict(subject.fields),
            "experiment": dict(experiment.fields),
        }
        experiment.label = "RENAMED"
        subject.label = "RENAMED_S"
        session.clearcache()
        project = session.projects[facts["project"]]
        found["experiments"] = [e.label for e in project.experiments.values()]
        found["subjects"] = [s.label for s in project.subjects.values()]
        return found


def share(facts: dict[str, Any]) -> dict[str, Any]:
    """Shares a subject and a session into another project."""
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        subject = project.subjects[facts["subject"]]
        subject.share(facts["other"])
        subject.experiments[facts["session"]].share(facts["other"], label="SHARED")
        session.clearcache()
        other = session.projects[facts["other"]]
        return {
            "subjects": [one.label for one in other.subjects.values()],
            "experiments": [one.label for one in other.experiments.values()],
        }


def unshare(facts: dict[str, Any]) -> dict[str, Any]:
    """Deletes a session where it is only shared: the sharing ends, the session stays."""
    with connect(facts) as session:
        session.projects[facts["other"]].experiments["SHARED"].delete()
        session.clearcache()
        return {
            "shared": len(session.projects[facts["other"]].experiments),
            "own": len(session.projects[facts["project"]].experiments),
        }


def delete(facts: dict[str, Any]) -> dict[str, Any]:
    """Deletes a file, a resource, a scan, a session, a subject."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        project = session.projects[facts["project"]]
        experiment = project.experiments[facts["session"]]
        scan = experiment.scans["1"]
        resource = scan.resources["DICOM"]
        next(iter(resource.files.values())).delete()
        resource.files.clearcache()
        found["files"] = len(resource.files)
        resource.delete()
        scan.resources.clearcache()
        found["resources"] = len(scan.resources)
        scan.delete()
        experiment.scans.clearcache()
        found["scans"] = [one.id for one in experiment.scans.values()]
        experiment.delete()
        project.experiments.clearcache()
        found["experiments"] = len(project.experiments)
        project.subjects[facts["subject"]].delete()
        session.clearcache()
        found["subjects"] = len(session.projects[facts["project"]].subjects)
    return found


def upload(facts: dict[str, Any]) -> dict[str, Any]:
    """A folder by every method, single files, archives to unpack, data from memory."""
    source = Path(facts["folder"], "source")
    for name, size in (("a.txt", 10), ("deep/b.bin", 70_000), ("deep/er/c c.txt", 3)):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    found: dict[str, Any] = {"source": md5s(source)}
    with connect(facts) as session:
        scan = session.projects[facts["project"]].experiments[facts["session"]].scans["1"]
        for method in METHODS:
            resource = scan.create_resource(method.upper())
            resource.upload_dir(source, method=method)
            target = Path(facts["folder"], method)
            resource.download_dir(str(target), verbose=False)
            found[method] = {
                path.partition("/files/")[2]: digest for path, digest in md5s(target).items()
            }
        single = scan.create_resource("SINGLE")
        single.upload(source / "a.txt", "renamed.txt")
        single.upload_data("words", "words.txt")
        single.upload_data(io.BytesIO(b"bytes"), "bytes.bin")
        found["single"] = sorted(file.path for file in single.files.values())
        before = [int(f.file_size) for f in single.files.values() if f.id == "words.txt"]
        single.upload_data("more words", "words.txt", overwrite=True)
        after = [int(f.file_size) for f in single.files.values() if f.id == "words.txt"]
        found["sizes"] = [before, after]
        with single.files["words.txt"].open() as stream:
            found["words"] = stream.read().decode()
        facts_of = scan.create_resource("FACTS")
        facts_of.upload_data(
            "x", "x.txt", file_content="CSV", file_format="TEXT", file_tags="one,two"
        )
        found["facts"] = [
            [f.data.get("file_content"), f.data.get("file_format"), f.data.get("file_tags")]
            for f in facts_of.files.values()
        ]
        listed = scan.resources["PER_FILE"].files.values()
        found["digests"] = md5s(source) == {file.path: file.digest for file in listed}
    return found


if __name__ == "__main__":
    main(
        {
            "create": create,
            "change": change,
            "upload": upload,
            "share": share,
            "unshare": unshare,
            "delete": delete,
        }
    )
