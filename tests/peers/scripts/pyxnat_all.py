"""The official client `pyxnat` on its journeys."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pyxnat
from journeys import by_name, main


def connect(facts: dict[str, Any], **other: Any) -> Any:
    given = {"user": facts["user"], "password": facts["password"], **other}
    return pyxnat.Interface(server=facts["url"], verify=True, **given)


def md5(path: str) -> str:
    return hashlib.md5(Path(path).read_bytes()).hexdigest()


def labels(collection: Any) -> list[str]:
    """Labels one by one: `get("label")` answers IDs at its first call (docs/strangers.md)."""
    return [one.label() for one in collection]


def create(facts: dict[str, Any]) -> dict[str, Any]:
    """Everything from the project to a file, then fields, renaming by attribute, deletion."""
    found: dict[str, Any] = {}
    with connect(facts) as site:
        project = site.select.project("PX")
        found["before"] = project.exists()
        project.create()
        scan = project.subject("S1").experiment("S1_MR1").scan("7")
        scan.create(experiments="xnat:mrSessionData", scans="xnat:mrScanData")
        found["after"] = [project.exists(), project.subject("S1").exists(), scan.exists()]
        experiment = project.subject("S1").experiment("S1_MR1")
        found["type"] = experiment.datatype()
        found["label"] = experiment.label()
        scan.attrs.mset({"xnat:mrScanData/type": "T1", "xnat:mrScanData/quality": "usable"})
        found["scan"] = scan.attrs.mget(["xnat:mrScanData/type", "xnat:mrScanData/quality"])
        experiment.attrs.set("xnat:mrSessionData/note", "seen")
        found["note"] = experiment.attrs.get("xnat:mrSessionData/note")
        project.subject("S1").attrs.set("gender", "female")
        found["gender"] = project.subject("S1").attrs.get("gender")
        assessor = experiment.assessor("S1_QC")
        assessor.create(assessors="xnat:qcManualAssessorData")
        found["assessors"] = [one.label() for one in experiment.assessors()]
        resource = experiment.resource("LOGS")
        resource.create()
        source = Path(facts["folder"], "a.txt")
        source.write_text("words")
        resource.file("a.txt").put(str(source), format="TEXT", content="LOG", tags="one")
        file = resource.file("a.txt")
        found["file"] = [file.size(), file.format(), file.content(), file.labels()]
        found["same"] = md5(file.get(str(Path(facts["folder"], "back.txt")))) == md5(str(source))
        file.delete()
        found["files"] = len(list(resource.files()))
        for item in (resource, assessor, scan, experiment, project.subject("S1")):
            item.delete()
        found["gone"] = [scan.exists(), experiment.exists(), project.subject("S1").exists()]
        project.delete()
        found["project"] = project.exists()
    return found


def listings(facts: dict[str, Any]) -> dict[str, Any]:
    """Lists at every level, filters, arrays."""
    with connect(facts) as site:
        project = site.select.project(facts["project"])
        one = project.subject("A").experiment("A_MR1")
        return {
            "projects": sorted(site.select.projects().get()),
            "subjects": sorted(labels(project.subjects())),
            "experiments": sorted(labels(project.experiments())),
            "pattern": sorted(project.experiments("*_E00001").get()),
            "paths": len(
                site.select(f"/projects/{facts['project']}/subjects/*/experiments/*").get()
            ),
            "scans": sorted(one.scans().get()),
            "resources": sorted(labels(one.scan("1").resources())),
            "files": sorted(file.label() for file in one.scan("1").resource("DICOM").files()),
            "array": sorted(
                row["label"]
                for row in site.array.experiments(
                    project_id=facts["project"],
                    columns=["label"],
                    experiment_type="xnat:mrSessionData",
                ).data
            ),
            "scan array": len(site.array.scans(project_id=facts["project"]).data),
            "last modified": sorted(project.last_modified()) != [],
        }


def upload(facts: dict[str, Any]) -> dict[str, Any]:
    """A zip, a folder, single files; downloads of resource, scan and session."""
    found: dict[str, Any] = {}
    source = Path(facts["folder"], "source")
    (source / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("first")
    (source / "deep" / "b.bin").write_bytes(bytes(range(256)) * 100)
    found["source"] = by_name(source)
    with connect(facts) as site:
        experiment = site.select.project(facts["project"]).subject("S1").experiment("S1_MR1")
        archive = Path(facts["folder"], "up.zip")
        with zipfile.ZipFile(archive, "w") as opened:
            for path in source.rglob("*"):
                if path.is_file():
                    opened.write(path, path.relative_to(source).as_posix())
        experiment.resource("ZIP").put_zip(str(archive), extract=True)
        experiment.resource("DIR").put_dir(str(source))
        experiment.resource("LIST").put([str(source / "a.txt"), str(source / "deep" / "b.bin")])
        for label in ("ZIP", "DIR", "LIST"):
            target = Path(facts["folder"], label)
            target.mkdir()
            resource = experiment.resource(label)
            found[label] = sorted(by_name_of(resource.files()))
            resource.get(str(target), extract=True)
            found[f"{label} bytes"] = by_name(target) == found["source"]
        target = Path(facts["folder"], "scans")
        target.mkdir()
        experiment.scans().download(str(target), type="ALL", extract=True)
        found["scans"] = by_name(target / "S1_MR1")  # beside it the zip stays
        file = experiment.scan("1").resource("DICOM").file("1.dcm")
        found["copy"] = md5(file.get_copy(str(target / "copy.dcm")))
    return found


def by_name_of(files: Any) -> list[str]:
    return [file.id() for file in files]


def share(facts: dict[str, Any]) -> dict[str, Any]:
    """Sharing, project settings, members, custom variables."""
    found: dict[str, Any] = {}
    with connect(facts) as site:
        project = site.select.project(facts["project"])
        subject = project.subject("S1")
        subject.share(facts["other"])
        found["shares"] = sorted(one.id() for one in subject.shares())
        found["other"] = labels(site.select.project(facts["other"]).subjects())
        experiment = subject.experiment("S1_MR1")
        experiment.share(facts["other"])
        found["experiments"] = labels(site.select.project(facts["other"]).experiments())
        experiment.unshare(facts["other"])
        subject.unshare(facts["other"])
        found["left"] = labels(site.select.project(facts["other"]).subjects())
        found["code"] = project.prearchive_code()
        project.set_prearchive_code("4")
        found["code then"] = project.prearchive_code()
        project.set_prearchive_code("0")
        project.set_accessibility("protected")
        found["access"] = project.accessibility().decode()
        project.add_user("rita", "member")
        found["users"] = sorted(project.users())
        found["role"] = project.user_role("rita")
        project.remove_user("rita")
        found["users then"] = sorted(project.users())
        found["all users"] = sorted(site.manage.users())
        found["mail"] = site.manage.users.email("rita")
    return found


def variables(facts: dict[str, Any]) -> dict[str, Any]:
    """Custom variables, renaming, the helpers after archiving, the item's document."""
    found: dict[str, Any] = {}
    key = "xnat:mrSessionData/fields/field[name={}]/field"
    with connect(facts) as site:
        subject = site.select.project(facts["project"]).subject("S1")
        experiment = subject.experiment("S1_MR1")
        experiment.attrs.set(key.format("qc_status"), "failed")
        experiment.attrs.set(key.format("qc_status"), "passed")
        experiment.attrs.set(key.format("other"), "words")
        found["status"] = experiment.attrs.get(key.format("qc_status"))
        found["other"] = experiment.attrs.get(key.format("other"))
        found["count"] = len(experiment.xpath("//xnat:field"))
        experiment.attrs.set("label", "NEW")
        subject.attrs.set("label", "NEWS")
        experiment = site.select.project(facts["project"]).subject("NEWS").experiment("NEW")
        found["renamed"] = experiment.exists()
        experiment.trigger_pipelines()
        experiment.fix_scan_types()
        experiment.pull_data_from_headers()
        found["document"] = b"MRSession" in experiment.get()
        found["version"] = site.version()["version"]
        found["shown"] = "`NEW`" in repr(experiment)
    return found


def search(facts: dict[str, Any]) -> dict[str, Any]:
    """Types, fields, searches with conditions, saved searches."""
    found: dict[str, Any] = {}
    with connect(facts) as site:
        found["types"] = sorted(site.inspect.datatypes("xnat:*Session*"))
        found["fields"] = "xnat:mrSessionData/LABEL" in site.inspect.datatypes(
            "xnat:mrSessionData", "*"
        )
        columns = ["xnat:mrSessionData/LABEL", "xnat:mrSessionData/PROJECT"]
        conditions = [
            ("xnat:mrSessionData/PROJECT", "=", facts["project"]),
            ("xnat:mrSessionData/LABEL", "LIKE", "A%"),
            "AND",
        ]
        table = site.select("xnat:mrSessionData", columns).where(conditions)
        found["labels"] = sorted(row["label"] for row in table.data)
        found["everything"] = len(site.select("xnat:mrSessionData", columns).all().data)
        site.manage.search.save(
            "mine", "xnat:mrSessionData", columns, conditions, sharing="private"
        )
        found["saved"] = site.manage.search.saved()
        found["result"] = len(site.manage.search.get("mine").data)
        site.manage.search.delete("mine")
        found["deleted"] = site.manage.search.saved()
    return found


def prearchive(facts: dict[str, Any]) -> dict[str, Any]:
    """The prearchive through the manager, import and archive through plain requests."""
    found: dict[str, Any] = {}
    with connect(facts) as site:
        with open(facts["zip"], "rb") as stream:
            answer = site.post(
                "/data/services/import",
                params={"import-handler": "DICOM-zip", "project": facts["project"]},
                data=stream,
                headers={"Content-Type": "application/zip"},
            )
        found["import"] = answer.status_code
        manager = site.manage.prearchive
        triple = manager.get()[0]
        found["project"] = triple[0]
        found["receiving"] = manager.status(triple)
        manager.reset(triple)
        found["ready"] = manager.status(triple)
        found["scans"] = manager.get_scans(triple)
        found["resources"] = manager.get_resources(triple, "1")
        found["files"] = manager.get_files(triple, "1", "DICOM")
        uri = manager.get_uri(triple)
        found["uri"] = uri == answer.text.strip().removeprefix("/data")
        try:
            manager.move([uri], facts["project"])
        except (AttributeError, TypeError, NameError) as error:
            found["move"] = type(error).__name__
        archived = site.post("/data/services/archive", params={"src": uri})
        found["archived"] = archived.status_code
        refreshed = site.post(
            "/data/services/refresh/catalog",
            params={"resource": archived.text.strip().removeprefix("/data"), "options": "checksum"},
        )
        found["refreshed"] = refreshed.status_code
        dump = site.get(
            "/data/services/dicomdump",
            params={
                "src": archived.text.strip().removeprefix("/data"),
                "field": "PatientID",
                "format": "json",
            },
        )
        found["dump"] = dump.json()["ResultSet"]["Result"][0]["value"]
        with open(facts["zip"], "rb") as stream:
            site.post(
                "/data/services/import",
                params={"import-handler": "DICOM-zip", "project": facts["project"]},
                data=stream,
                headers={"Content-Type": "application/zip"},
            )
        manager.delete(manager.get_uri(manager.get()[0]))
        token = site.get("/data/services/tokens/issue").json()
    with connect(facts, user=token["alias"], password=token["secret"]) as site:
        found["token"] = site.select.project(facts["project"]).exists()
    return found


if __name__ == "__main__":
    main(
        {
            "create": create,
            "listings": listings,
            "upload": upload,
            "share": share,
            "variables": variables,
            "search": search,
            "prearchive": prearchive,
        }
    )
