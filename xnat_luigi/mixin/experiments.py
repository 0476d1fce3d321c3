"""What experiments, sessions and assessors can do besides the fields of their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import uris
from ..core import CustomVariableMap, XNATListing, caching
from ..core.making import make_object
from ..core.objects import current
from ..exceptions import XNATValueError
from ..rest import items
from ..rest.answers import read_table
from .folders import download_session
from .owners import archive_uri, file_listing, make_resource, resource_listing
from .resources import save_zip
from .subjects import Shared

if TYPE_CHECKING:
    import datetime

    from .resources import AbstractResource, FileData
    from .scans import ImageScanData

__all__ = ["DerivedData", "ExperimentData", "ImageSessionData", "SubjectAssessorData"]


class ExperimentData(Shared):
    """An experiment. It is addressed by its ID."""

    SECONDARY_LOOKUP_FIELD = "label"

    if TYPE_CHECKING:  # what the schema adds, for editors
        project: str
        date: datetime.date | None
        time: datetime.time | None
        note: str | None
        visit_id: str | None
        acquisition_site: str | None
        investigator: Any

        def __getattr__(self, name: str) -> Any: ...

    def _address(self) -> uris.Address:
        return uris.Address(experiment=self.id)

    def _listing_uri(self, name: str) -> str:
        """Listings lie below the ID: `/projects/P/experiments/E/scans` is no route (A 0.1)."""
        return f"{uris.experiment(self.id)}/{name}"

    def _write_uri(self) -> str:
        # Fields are written by ID: below another subject the server would move it (A 5.4).
        return uris.experiment(self.id)

    def _share_uri(self) -> str:
        return uris.experiment(self.id)

    @property
    def label(self) -> str:
        """Its label in the project it was asked through."""
        return str(self.get("label"))

    @label.setter
    def label(self, value: str) -> None:
        Shared.label.fset(self, value)  # type: ignore[attr-defined]

    @property
    @caching
    def fields(self) -> CustomVariableMap:
        """Its custom variables."""
        return CustomVariableMap(self, "fields")

    def activate(self) -> None:
        """Take it out of quarantine (wire contract A 5.2)."""
        items.run_action(self.xnat_session.connection, self._write_uri(), "activate")

    def quarantine(self) -> None:
        """Put it into quarantine (wire contract A 5.2)."""
        items.run_action(self.xnat_session.connection, self._write_uri(), "quarantine")


class SubjectAssessorData(ExperimentData):
    """An experiment of a subject, which is its parent."""

    _CONTAINED_IN = "experiments"

    @property
    def _subject_id(self) -> str:
        parent = self._parent
        if parent is not None and getattr(parent, "_CONTAINED_IN", None) == "subjects":
            return str(parent.id)
        return str(self.get("subject_ID"))

    @property
    def fulluri(self) -> str:
        """Its address through its project and subject."""
        return archive_uri(project=self.project_id, subject=self._subject_id, experiment=self.id)

    @property
    def subject(self) -> Any:
        """The subject it belongs to (S-155)."""
        parent = self._parent
        if parent is not None and getattr(parent, "_CONTAINED_IN", None) == "subjects":
            return parent
        overwrites = {"project": self.project_id}
        label = self._overwrites.get("subject_label")
        if label:
            overwrites["label"] = label
        return make_object(
            self.xnat_session,
            uris.subject(self._subject_id),
            "xnat:subjectData",
            id_=self._subject_id,
            overwrites=overwrites,
            through=self.project_id,
        )


class ImageSessionData(SubjectAssessorData):
    """An image session: scans, assessors, resources."""

    if TYPE_CHECKING:  # what the schema adds, for editors
        scans: XNATListing[ImageScanData]
        assessors: XNATListing[DerivedData]
        reconstructions: XNATListing[Any]
        scanner: Any
        operator: str | None
        modality: str | None
        uid: str | None
        session_type: str | None

    @property
    @caching
    def files(self) -> XNATListing[FileData]:
        """The files of its own resources, not those of its scans."""
        return file_listing(self)

    @property
    @caching
    def resources(self) -> XNATListing[AbstractResource]:
        """Its own resources, by ID and label."""
        return resource_listing(self)

    @caching
    def _all_resources(self) -> list[dict[str, str]]:
        """Return the rows of all resources in it, read with one request for all scans (A 3.6)."""
        conn = self.xnat_session.connection
        query = {"format": "json", "all": "true"}
        return read_table(conn.request("GET", uris.session_resources(self.id), query=query))

    @property
    def status(self) -> str:
        """`active` or `quarantine`, asked anew each time."""
        return items.get_status(self.xnat_session.connection, uris.experiment(self.id))

    def _scan_entry(self, scan: str) -> dict[str, Any] | None:
        """Return a scan's part of the session's document.

        None for the first scan that asks: from the second on one document serves all of them.
        """
        if "_read_document" not in self._cache and not self._cache.get("scans_asked"):
            self._cache["scans_asked"] = True
            return None
        for child in self.fulldata.get("children") or ():
            if child.get("field") == "scans/scan":
                for entry in child.get("items") or ():
                    if current(entry) and str(entry["data_fields"].get("ID")) == scan:
                        found: dict[str, Any] = entry
                        return found
        return None

    def share(self, project: Any, label: str | None = None) -> None:
        """Share it into another project, see `Shared.share`."""
        super().share(project, label)

    def create_assessor(self, label: str, type_: str) -> Any:
        """Make an assessor and return it (S-167).

        Parameters
        ----------
        type_ : str
            Its xsi type, `xnat:qcManualAssessorData` for example, or the name of its class.

        Raises
        ------
        XNATConflictError
            The label belongs to another item of the project.
        """
        classes = self.xnat_session.classes
        if ":" in type_:
            cls = classes.by_xsi_type(type_)
        else:
            cls = getattr(classes, type_)
        return cls(parent=self, label=label)

    def create_resource(
        self,
        label: str,
        format: str | None = None,
        data_dir: str | Path | None = None,
        method: str | None = None,
    ) -> Any:
        """Make a resource and return it; upload a folder into it if one is given.

        Parameters
        ----------
        label : str
            Letters, digits, `_`, `-` and `.`, and not digits only.
        format : str, optional
            What kind of files it holds, `NIFTI` for example.
        data_dir : path, optional
            A folder to upload.
        method : str, optional
            How: `per_file`, `tar_memory`, `tgz_memory`, `tar_file` or `tgz_file` (the default).

        Raises
        ------
        XNATConflictError
            There is a resource of that label.
        """
        return make_resource(self, label, format, data_dir, method)

    def download(self, path: str | Path, verbose: bool = True) -> str:
        """Save all files of its scans as a zip, compared with the listing; return the path.

        Raises
        ------
        XNATNotFoundError
            There is nothing to download.
        XNATIntegrityError
            The zip is cut or not what the listing says.
        """
        return save_zip(self, uris.scan_files(self.id), path, verbose)

    def download_dir(self, target_dir: str | Path, verbose: bool = True) -> None:
        """Download the whole session into TARGET/EXPERIMENT and unpack it (S-173).

        Every file is compared with the server's listing, a missing folder is made.

        Parameters
        ----------
        target_dir : path
            The folder to make the experiment's folder in.
        verbose : bool
            Report at INFO what was downloaded.
        """
        download_session(self, Path(target_dir), verbose)


class DerivedData(ExperimentData):
    """An assessor: made from a session, which is its parent."""

    _CONTAINED_IN = "assessors"

    @property
    def _session_id(self) -> str:
        parent = self._parent
        if parent is not None and hasattr(parent, "_all_resources"):
            return str(parent.id)
        found = self.get("imageSession_ID") or self.get("session_ID")
        if not found:
            raise XNATValueError(f"{self.uri}: the session of this assessor is not known")
        return str(found)

    def _address(self) -> uris.Address:
        return uris.Address(experiment=self._session_id, assessor=self.id)

    def _listing_uri(self, name: str) -> str:
        return f"{uris.assessor(self._session_id, self.id)}/{name}"

    @property
    def fulluri(self) -> str:
        """Its address through its session."""
        return archive_uri(experiment=self._session_id, assessor=self.id)

    @property
    @caching
    def files(self) -> XNATListing[FileData]:
        """The files of its resources (direction `out`)."""
        return file_listing(self)

    @property
    @caching
    def resources(self) -> XNATListing[AbstractResource]:
        """Its resources (direction `out`), by ID and label."""
        return resource_listing(self)

    def create_resource(
        self,
        label: str,
        format: str | None = None,
        data_dir: str | Path | None = None,
        method: str | None = None,
    ) -> Any:
        """Make a resource and return it; upload a folder into it if one is given.

        Parameters
        ----------
        label : str
            Letters, digits, `_`, `-` and `.`, and not digits only.
        format : str, optional
            What kind of files it holds, `NIFTI` for example.
        data_dir : path, optional
            A folder to upload.
        method : str, optional
            How: `per_file`, `tar_memory`, `tgz_memory`, `tar_file` or `tgz_file` (the default).

        Raises
        ------
        XNATConflictError
            There is a resource of that label.
        """
        return make_resource(self, label, format, data_dir, method)

    def download(self, path: str | Path, verbose: bool = True) -> str:
        """Save its files as a zip, compared with the listing; return the path."""
        return save_zip(self, self._listing_uri("files"), path, verbose)
