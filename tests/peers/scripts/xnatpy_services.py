"""The official client `xnat`: import, prearchive, refresh, dump, tokens, users, search."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import xnat
from journeys import by_name, main
from xnat.exceptions import XNATResponseError, XNATUploadError


def connect(facts: dict[str, Any]) -> Any:
    return xnat.connect(
        facts["url"], user=facts["user"], password=facts["password"], loglevel="ERROR"
    )


def settled(find: Any, wanted: Any, seconds: float = 20) -> Any:
    """Polls until `find()` is `wanted`; returns the last value either way."""
    end = time.monotonic() + seconds
    while (value := find()) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    return value


def prearchive(facts: dict[str, Any]) -> dict[str, Any]:
    """Import, look, rebuild, move, archive."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        row = session.services.import_(
            facts["zip"], project=facts["project"], subject="SU", experiment="SE"
        )
        found["row"] = type(row).__name__
        found["hidden"] = len(session.prearchive.sessions(project=facts["project"]))
        shown = session.prearchive.find(project=facts["project"], session="SE")
        found["shown"] = [(one.status, one.subject, one.label) for one in shown]
        row.rebuild(asynchronous=False)

        def status() -> str:
            return str(session.prearchive.find(project=facts["project"])[0].status)

        session.prearchive.caching = False
        found["built"] = settled(status, "READY")
        row = session.prearchive.find(project=facts["project"])[0]
        found["scans"] = [scan.id for scan in row.scans.values()]
        scan = next(iter(row.scans.values()))
        found["description"] = scan.series_description
        found["files"] = sorted(file.name for file in scan.files.values())
        found["sizes"] = sorted(int(file.size) for file in scan.files.values())
        found["dump"] = [line["value"] for line in scan.dicom_dump(fields=["PatientID"])]
        target = Path(facts["folder"], "row.zip")
        row.download(str(target))
        found["zip"] = target.stat().st_size > sum(found["sizes"])
        row.move(facts["other"])
        found["moved"] = settled(
            lambda: [s.status for s in session.prearchive.find(project=facts["other"])], ["READY"]
        )
        row = session.prearchive.find(project=facts["other"])[0]
        experiment = row.archive(experiment="FINAL")
        found["experiment"] = [experiment.label, experiment.project, experiment.subject.label]
        folder = Path(facts["folder"], "files")
        experiment.download_dir(str(folder), verbose=False)
        found["digests"] = by_name(folder)
        row = session.services.import_(facts["zip"], project=facts["project"])
        row.delete()
        found["left"] = settled(lambda: len(session.prearchive.find(project=facts["project"])), 0)
    return found


def straight(facts: dict[str, Any]) -> dict[str, Any]:
    """Import into the archive, a folder, a stream, a direct archive; conflicts."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        made = session.services.import_(
            facts["zip"],
            destination=f"/archive/projects/{facts['project']}/subjects/SU/experiments/ONE",
        )
        found["archived"] = [type(made).__name__, made.label, made.subject.label]
        made = session.services.import_dir(
            facts["source"],
            project=facts["project"],
            subject="SU",
            experiment="TWO",
            destination="/archive",
        )
        found["folder"] = made.label
        with open(facts["zip"], "rb") as stream:
            row = session.services.import_(
                data=stream,
                project=facts["project"],
                content_type="application/zip",
                experiment="THREE",
                import_handler="DICOM-zip",
            )
        found["stream"] = row.label
        session.post(row.uri + "?action=build")
        try:
            session.services.import_(facts["zip"], project="NOWHERE", import_handler="nonsense")
        except XNATUploadError as error:
            found["unknown handler"] = "Status code 404" in str(error)
        row = session.services.import_(
            facts["zip"], project=facts["project"], subject="SU", experiment="ONE"
        )
        session.post(row.uri + "?action=build")
        try:
            row.archive()
        except XNATResponseError as error:
            found["conflict"] = error.status_code
        row.clearcache()
        found["row"] = [s.status for s in session.prearchive.find(facts["project"], session="ONE")]
        found["overwritten"] = row.archive(overwrite="append").label
    return found


def inbox(facts: dict[str, Any]) -> dict[str, Any]:
    """A folder on the server, and files straight into the archive."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        request = session.services.import_dicom_inbox(
            facts["inbox"], project=facts["project"], subject="SU", experiment="SE"
        )
        address = request.uri if hasattr(request, "uri") else request._uri

        def status() -> str:
            return str(session.get_json(address)["status"])

        found["status"] = settled(status, "Processed")
        found["who"] = [request.username, request.project_id, request.subject_id]
        found["rows"] = [one.label for one in session.prearchive.find(facts["project"])]
        try:
            request.cleanup_after_import  # noqa: B018
        except KeyError as error:
            found["cleanup"] = error.args[0]
        try:
            session.services.import_(
                facts["zip"], project=facts["project"], experiment="DIRECT", direct_archive=True
            )
        except Exception as error:
            found["direct"] = type(error).__name__
    return found


def refresh(facts: dict[str, Any]) -> dict[str, Any]:
    """A file put into the archive by hand appears after a refresh with append, and not before."""
    with connect(facts) as session:
        scan = session.experiments[facts["experiment"]].scans["1"]
        resource = scan.resources["DICOM"]
        before = sorted(resource.files.keys())
        options = {"checksum": True, "append": True, "delete": True, "populate_stats": True}
        try:  # the client leaves out /archive, which the service needs (docs/strangers.md)
            session.services.refresh_catalog(resource, **options)
        except XNATResponseError as error:
            assert error.status_code == 400, error
        address = resource.fulluri.replace("/data/", "/data/archive/", 1)
        session.services.refresh_catalog(address, **options)
        session.clearcache()
        resource = session.experiments[facts["experiment"]].scans["1"].resources["DICOM"]
        return {
            "before": before,
            "after": {file.path: file.digest for file in resource.files.values()},
            "count": resource.file_count,
            "size": resource.file_size,
            "dump": len(session.experiments[facts["experiment"]].scans["1"].dicom_dump()),
            "fields": [
                line["desc"]
                for line in session.services.dicom_dump(facts["source"], ["PatientID", "00100010"])
            ],
        }


def tokens_and_users(facts: dict[str, Any]) -> dict[str, Any]:
    """A token logs in; users, project members, access levels."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        token = session.services.issue_token()
        found["users"] = sorted(session.users)
        found["mail"] = session.users["rita"].email
        project = session.projects[facts["project"]]
        project.set_access("rita", "Collaborators")
        project.users.clearcache()
        found["members"] = sorted((u.login, u.access_level) for u in project.users.values())
        project.remove_access(project.users["rita"])
        session.clearcache()
        found["removed"] = sorted(session.projects[facts["project"]].users)
        token_of_rita = session.services.issue_token("rita")
    with xnat.connect(facts["url"], user=token.alias, password=token.secret) as session:
        found["logged in"] = session.logged_in_user
    with xnat.connect(facts["url"], user=token_of_rita[0], password=token_of_rita[1]) as session:
        found["as rita"] = session.logged_in_user
    return found


def search(facts: dict[str, Any]) -> dict[str, Any]:
    """Queries with constraints, tables and objects; what the site says about its types."""
    found: dict[str, Any] = {}
    with connect(facts) as session:
        kind = session.classes.MrSessionData
        query = kind.query().filter(kind.label.like("A%"))
        found["like"] = sorted(one.label for one in query.all())
        query = kind.query().filter(kind.project == facts["project"], kind.label == "A_MR2")
        found["one"] = query.one().label
        table = kind.query().view(kind.label).tabulate_dict()
        found["table"] = len(table)
        subject = session.classes.SubjectData
        found["subjects"] = sorted(one.label for one in subject.query().all())
        found["types"] = sorted(session.inspect.datatypes("xnat:*Session*"))
        fields = session.inspect.datafields("xnat:mrSessionData", "*LABEL*")
        found["fields"] = "xnat:mrSessionData/LABEL" in fields
    return found


if __name__ == "__main__":
    main(
        {
            "prearchive": prearchive,
            "straight": straight,
            "inbox": inbox,
            "refresh": refresh,
            "tokens_and_users": tokens_and_users,
            "search": search,
        }
    )
