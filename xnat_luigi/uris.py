"""Every REST address of the package is built here.

All functions take ids or labels as they are and return a path without the server, percent-encoded,
beginning with `/data/` or `/xapi/` (wire contract A 0.1 and 7). A context path of the server is put
in front by the connection.

Path variables are **not** percent-decoded by XNAT's router, except scan ids on `resources` and
`files` routes and file paths (A 7). So an old label with a blank cannot be addressed: use the ID.
What can never be addressed (`/`, `.`, `..`, control characters, nothing at all) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote

from .exceptions import XNATUnsafeNameError, XNATValueError

__all__ = [
    "Address",
    "check_label",
    "check_resource_label",
    "is_label",
    "join",
    "quote_listed",
    "quote_path",
    "quote_segment",
    "survives_upload",
]

LABEL = re.compile(r"[A-Za-z0-9_-]{1,255}")
RESOURCE_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9._/-]+")

# --- addresses without variables ---------------------------------------------------------------

JSESSION = "/data/JSESSION"
AUTH = "/data/auth"
LOGIN = "/data/services/auth"
VERSION = "/data/version"
BUILD_INFO = "/xapi/siteConfig/buildInfo"

SCHEMAS = "/xapi/schemas"

PROJECTS = "/data/projects"
SUBJECTS = "/data/subjects"
EXPERIMENTS = "/data/experiments"
USERS = "/data/users"

PREARCHIVE = "/data/prearchive/projects"
PREARCHIVE_REBUILD = "/data/services/prearchive/rebuild"
PREARCHIVE_MOVE = "/data/services/prearchive/move"
PREARCHIVE_DELETE = "/data/services/prearchive/delete"

IMPORT = "/data/services/import"
ARCHIVE = "/data/services/archive"
VALIDATE_ARCHIVE = "/data/services/validate-archive"
REFRESH_CATALOG = "/data/services/refresh/catalog"
DICOM_DUMP = "/data/services/dicomdump"

SEARCH = "/data/search"
SEARCH_ELEMENTS = "/data/search/elements"


# --- names ----------------------------------------------------------------------------------


def is_label(text: str) -> bool:
    """Whether the server takes this as a new ID or label of a project, subject, experiment,
    assessor or scan: letters, digits, `_` and `-` (wire contract A 5.3)."""
    return LABEL.fullmatch(text) is not None


def check_label(text: str, what: str = "label") -> str:
    """`text`, or `XNATUnsafeNameError` if the server would choke on creating it (A 5.3, T4)."""
    if not is_label(text):
        raise XNATUnsafeNameError(
            f"{what} {text[:80]!r} is refused: only letters, digits, '_' and '-' (at most 255)"
        )
    return text


def check_resource_label(text: str) -> str:
    """`text`, or `XNATUnsafeNameError`: labels of new resources become names of folders, and a
    label made only of digits is taken for a numeric id (A 5.3, A 6.1)."""
    if RESOURCE_LABEL.fullmatch(text) is None or text.strip(".") == "":
        raise XNATUnsafeNameError(
            f"resource label {text[:80]!r} is refused: only letters, digits, '_', '-' and '.'"
        )
    if text.isdigit():
        raise XNATUnsafeNameError(
            f"resource label {text!r} is refused: the server would take digits for a numeric id"
        )
    return text


def quote_segment(text: str) -> str:
    """One segment of a path. Commas and stars stay, they make lists and selectors (A 6.7); so
    does the colon of `xnat:mrSessionData`, since the router does not decode.

    Raises
    ------
    XNATUnsafeNameError
        It is empty, `.` or `..`, or has a slash, backslash or control character: no request could
        reach it.
    """
    text = str(text)
    if not text or text in {".", ".."} or "/" in text or "\\" in text or _CONTROL.search(text):
        raise XNATUnsafeNameError(f"{text[:80]!r} cannot be part of an XNAT address; use its ID")
    return quote(text, safe=",*:@")


def quote_path(path: str) -> str:
    """The path of a file inside a resource, percent-encoded; slashes and a trailing slash stay.

    The server looks a file up raw first, then decoded (A 6.3).

    Raises
    ------
    XNATUnsafeNameError
        It is absolute or empty, or has an empty segment, `.`, `..` or a control character.
    """
    segments = path.split("/")
    inner = segments[:-1] if len(segments) > 1 and segments[-1] == "" else segments
    if any(s in {"", ".", ".."} for s in inner) or _CONTROL.search(path):
        raise XNATUnsafeNameError(f"file path {path[:120]!r} cannot be part of an XNAT address")
    return quote(path, safe="/")


def survives_upload(path: str) -> bool:
    """Whether a file uploaded to `quote_path(path)` is stored under `path` and not otherwise.

    The server decodes the whole path only if it holds `%20` or `%2B`; else `%23` stays `%23`
    (A 6.4). Paths that do not survive can be sent inside an archive.
    """
    return " " in path or "+" in path or _PLAIN_FILE.fullmatch(path) is not None


def quote_listed(uri: str) -> str:
    """The address for a `URI` as a listing gives it: raw, not percent-encoded, without the
    context path (A 0.1, A 6.2).

    Raises
    ------
    XNATUnsafeNameError
        It is no path below `/data`, `/REST`, `/archive` or `/xapi`, or climbs with `..`.
    """
    path = uri
    if path.startswith(("/archive/", "/prearchive/")):
        path = f"/data{path}"
    if not path.startswith(("/data/", "/REST/", "/xapi/")) or _CONTROL.search(path):
        raise XNATUnsafeNameError(f"the server lists {uri[:120]!r}, which is no REST address")
    if any(s in {".", ".."} for s in path.split("/")):
        raise XNATUnsafeNameError(f"the server lists {uri[:120]!r}, which climbs out of its folder")
    return quote(path, safe="/,*:@")


def join(base: str, *segments: str) -> str:
    """`base`, an address made here, and further segments below it."""
    return "/".join([base.rstrip("/"), *(quote_segment(s) for s in segments)])


def _list(ids: str | Iterable[str]) -> str:
    return ids if isinstance(ids, str) else ",".join(ids)


# --- archive --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """A place that can have resources: a project, subject, experiment, scan, assessor or
    reconstruction. Ids or labels, as strings.

    An experiment alone must be an ID; under a project and a subject labels work as well. Scans and
    assessors need the experiment's ID alone, or project *and* subject: there is no route for them
    at `/projects/P/experiments/E` (wire contract A 0.1, router quirk).

    `direction` is `in` or `out` of an assessor or reconstruction; the server's default is `out`.
    """

    project: str | None = None
    subject: str | None = None
    experiment: str | None = None
    scan: str | None = None
    assessor: str | None = None
    direction: str | None = None
    reconstruction: str | None = None

    def __post_init__(self) -> None:
        inner = [x for x in (self.scan, self.assessor, self.reconstruction) if x is not None]
        if not (self.project or self.subject or self.experiment):
            raise XNATValueError("an address needs a project, a subject or an experiment")
        if len(inner) > 1:
            raise XNATValueError("an address has a scan, an assessor or a reconstruction, not two")
        if inner and not self.experiment:
            raise XNATValueError("a scan, assessor or reconstruction needs its experiment")
        if inner and self.project and not self.subject:
            raise XNATValueError(
                "there is no route to scans or assessors at /projects/P/experiments/E: "
                "give the subject as well, or the experiment's ID alone"
            )
        if self.direction is not None:
            if self.direction not in {"in", "out"}:
                raise XNATValueError(f"direction {self.direction!r} is neither 'in' nor 'out'")
            if not (self.assessor or self.reconstruction):
                raise XNATValueError("only assessors and reconstructions have a direction")

    @property
    def kind(self) -> str:
        """`project`, `subject`, `experiment`, `scan`, `assessor` or `reconstruction`."""
        for name in ("scan", "assessor", "reconstruction", "experiment", "subject"):
            if getattr(self, name) is not None:
                return name
        return "project"

    @property
    def parent(self) -> Address | None:
        """The place around it, None for a project or for an item addressed by its ID alone."""
        kind = self.kind
        if kind in {"scan", "assessor", "reconstruction"}:
            return replace(self, **{kind: None, "direction": None})
        if kind == "experiment" and (self.subject or self.project):
            return replace(self, experiment=None)
        if kind == "subject" and self.project:
            return replace(self, subject=None)
        return None

    def segments(self) -> list[str]:
        """The raw segments of its path, without `/data`."""
        parts: list[str] = []
        for word, value in (
            ("projects", self.project),
            ("subjects", self.subject),
            ("experiments", self.experiment),
            ("scans", self.scan),
            ("assessors", self.assessor),
            ("reconstructions", self.reconstruction),
        ):
            if value is not None:
                parts += [word, value]
        return parts

    def item(self) -> str:
        """The address of the item itself, without the direction."""
        return join("/data", *self.segments())

    def path(self) -> str:
        """The address below which its resources lie."""
        direction = [self.direction] if self.direction else []
        return join("/data", *self.segments(), *direction)

    def resources(self) -> str:
        """The list of its resources."""
        return join(self.path(), "resources")

    def resource(self, label: str) -> str:
        """One resource, by label or numeric id; GET gives its catalog."""
        return join(self.path(), "resources", label)

    def files(self, label: str | None = None) -> str:
        """The list of files of one resource (or several, `DICOM,NIFTI`), or of all of them.

        Raises
        ------
        XNATValueError
            There is no such route: `/projects/P/experiments/E/files` (A 0.1).
        """
        if label is not None:
            return join(self.resource(label), "files")
        if self.kind == "experiment" and self.project and not self.subject:
            raise XNATValueError("there is no route /projects/P/experiments/E/files")
        return join(self.path(), "files")

    def file(self, label: str, path: str) -> str:
        """One file of a resource; `path` as in the catalog, not encoded."""
        return f"{self.files(label)}/{quote_path(path)}"

    def archive_uri(self, label: str | None = None) -> str:
        """The plain `/archive/...` spelling that services take as `resource` or `src` (B 5.1, B 6);
        not percent-encoded, as it goes into a query or form."""
        tail = [] if label is None else ["resources", label]
        segments = [*self.segments(), *tail]
        for segment in segments:
            quote_segment(segment)
        return "/".join(["/archive", *segments])


def project(project_id: str) -> str:
    return join(PROJECTS, project_id)


def subjects(project_id: str | None = None) -> str:
    return SUBJECTS if project_id is None else join(project(project_id), "subjects")


def subject(subject_id: str, project_id: str | None = None) -> str:
    """By ID; with a project by ID or label."""
    return join(subjects(project_id), subject_id)


def experiments(project_id: str | None = None, subject_id: str | None = None) -> str:
    """The list of all experiments, of a project, or of a subject in a project (a subject alone has
    no such list, A 0.1)."""
    if project_id is None:
        if subject_id is not None:
            raise XNATValueError("there is no route /subjects/S/experiments: give the project")
        return EXPERIMENTS
    if subject_id is None:
        return join(project(project_id), "experiments")
    return join(subject(subject_id, project_id), "experiments")


def experiment(
    experiment_id: str | Iterable[str],
    project_id: str | None = None,
    subject_id: str | None = None,
) -> str:
    """By ID (several IDs for GETs of resources and files); under a project by ID or label."""
    return join(experiments(project_id, subject_id), _list(experiment_id))


def scans(
    experiment_id: str | Iterable[str],
    project_id: str | None = None,
    subject_id: str | None = None,
) -> str:
    _check_route(project_id, subject_id)
    return join(experiment(experiment_id, project_id, subject_id), "scans")


def scan(
    experiment_id: str,
    scan_id: str | Iterable[str],
    project_id: str | None = None,
    subject_id: str | None = None,
) -> str:
    return join(scans(experiment_id, project_id, subject_id), _list(scan_id))


def scan_files(
    experiment_id: str | Iterable[str],
    scan_id: str | Iterable[str] = "ALL",
    resource: str | Iterable[str] | None = None,
) -> str:
    """Files of scans: `ALL`, ids, or types (A 3.6)."""
    base = join(scans(experiment_id), _list(scan_id))
    if resource is not None:
        base = join(base, "resources", _list(resource))
    return join(base, "files")


def assessors(
    experiment_id: str, project_id: str | None = None, subject_id: str | None = None
) -> str:
    _check_route(project_id, subject_id)
    return join(experiment(experiment_id, project_id, subject_id), "assessors")


def assessor(
    experiment_id: str,
    assessor_id: str,
    project_id: str | None = None,
    subject_id: str | None = None,
) -> str:
    return join(assessors(experiment_id, project_id, subject_id), assessor_id)


def reconstructions(experiment_id: str) -> str:
    return join(EXPERIMENTS, experiment_id, "reconstructions")


def reconstruction(experiment_id: str, reconstruction_id: str) -> str:
    return join(reconstructions(experiment_id), reconstruction_id)


def session_resources(experiment_ids: str | Iterable[str]) -> str:
    """Resources of one or several experiments (A 3.6)."""
    return join(EXPERIMENTS, _list(experiment_ids), "resources")


def session_files(experiment_ids: str | Iterable[str]) -> str:
    """Files of one or several experiments (A 3.6)."""
    return join(EXPERIMENTS, _list(experiment_ids), "files")


def session_folder(experiment_id: str, path: str = "") -> str:
    """What lies on the server's disk, past the catalogs (A 3.6)."""
    base = join(EXPERIMENTS, experiment_id, "DIR")
    return f"{base}/{quote_path(path)}" if path else base


def shares(item: str) -> str:
    """The projects into which an item (an address made here) is shared."""
    return join(item, "projects")


def share(item: str, project_id: str) -> str:
    return join(shares(item), project_id)


def status(item: str) -> str:
    return join(item, "status")


def scan_types(project_id: str | None = None) -> str:
    return "/data/scan_types" if project_id is None else join(project(project_id), "scan_types")


def scanners(project_id: str | None = None) -> str:
    return "/data/scanners" if project_id is None else join(project(project_id), "scanners")


def _check_route(project_id: str | None, subject_id: str | None) -> None:
    if project_id is not None and subject_id is None:
        raise XNATValueError(
            "there is no route to scans or assessors at /projects/P/experiments/E: "
            "give the subject as well, or the experiment's ID alone"
        )


# --- prearchive -----------------------------------------------------------------------------


def prearchive(project_id: str | None = None) -> str:
    """The listing of all prearchive rows, or of a project's (or `Unassigned`)."""
    return PREARCHIVE if project_id is None else join(PREARCHIVE, project_id)


def prearchive_session(project_id: str, timestamp: str, folder: str) -> str:
    return join(PREARCHIVE, project_id, timestamp, folder)


def prearchive_scans(row: str, scan_id: str | None = None) -> str:
    """`row` is the address of a prearchive session."""
    return join(row, "scans", *([] if scan_id is None else [scan_id]))


def prearchive_resources(row: str, scan_id: str | None = None, label: str | None = None) -> str:
    base = row if scan_id is None else prearchive_scans(row, scan_id)
    return join(base, "resources", *([] if label is None else [label]))


def prearchive_files(row: str, label: str, scan_id: str | None = None, path: str = "") -> str:
    base = join(prearchive_resources(row, scan_id, label), "files")
    return f"{base}/{quote_path(path)}" if path else base


def prearchive_logs(row: str, log: str | None = None) -> str:
    """All log entries, one by its id, or `last`."""
    return join(row, "logs", *([] if log is None else [log]))


def prearchive_source(project_id: str, timestamp: str, folder: str) -> str:
    """The plain `/prearchive/...` spelling that services take as `src`; not percent-encoded."""
    for segment in (project_id, timestamp, folder):
        quote_segment(segment)
    return f"/prearchive/projects/{project_id}/{timestamp}/{folder}"


# --- services -------------------------------------------------------------------------------


def tracking(key: str) -> str:
    return join("/xapi/event_tracking", key)


def inbox_request(request_id: str) -> str:
    return join("/xapi/dicom", request_id)


def token(user: str | None = None) -> str:
    """Issue an alias token, for oneself or (administrators) for another user (B 8)."""
    base = "/data/services/tokens/issue"
    return base if user is None else join(base, "user", user)


def user_sessions(user: str) -> str:
    return join("/data/user", user, "sessions")


def schema(name: str) -> str:
    """One schema by the name the list gives it: `xnat`, or `dir/name` (A 2)."""
    return join(SCHEMAS, *name.split("/"))


def legacy_schema(name: str) -> str:
    """The same in the style of XNAT 1.6: `/schemas/xnat/xnat.xsd`."""
    folder, _, file = name.partition("/")
    return join("/schemas", folder, f"{file or folder}.xsd")


def search_elements(xsi_type: str | None = None) -> str:
    """Types that can be searched, or the fields of one."""
    return SEARCH_ELEMENTS if xsi_type is None else join(SEARCH_ELEMENTS, xsi_type)
