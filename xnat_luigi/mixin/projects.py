"""What projects can do besides the fields of their schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import uris
from ..core import CustomVariableMap, XNATBaseObject, XNATListing, caching
from .folders import download_project
from .owners import archive_uri, file_listing, make_resource, resource_listing

if TYPE_CHECKING:
    from .experiments import ImageSessionData
    from .resources import AbstractResource, FileData
    from .subjects import InvestigatorData, SubjectData

__all__ = ["ProjectData"]


class ProjectData(XNATBaseObject):
    """A project. Its parent is the session; new ones are named by `id_` or `name`."""

    SECONDARY_LOOKUP_FIELD = "name"
    _NAMED_BY = ("id", "name")
    _CONTAINED_IN = "projects"

    if TYPE_CHECKING:  # what the schema adds, for editors
        name: str
        description: str
        secondary_id: str
        keywords: str
        pi: InvestigatorData

        def __getattr__(self, name: str) -> Any: ...

    def _address(self) -> uris.Address:
        return uris.Address(project=self.id)

    @property
    def project_id(self) -> str:
        """Its ID, as everything in a project has it."""
        return self.id

    @property
    def fulluri(self) -> str:
        """Its address."""
        return archive_uri(project=self.id)

    @property
    @caching
    def fields(self) -> CustomVariableMap:
        """Its custom variables."""
        return CustomVariableMap(self, "fields")

    @property
    @caching
    def subjects(self) -> XNATListing[SubjectData]:
        """Its subjects, its own and those shared into it, by ID and label."""
        return XNATListing(
            uri=self._listing_uri("subjects"),
            parent=self,
            field_name="subjects",
            secondary_lookup_field="label",
            xsi_type="xnat:subjectData",
        )

    @property
    @caching
    def experiments(self) -> XNATListing[ImageSessionData]:
        """Its experiments, its own and those shared into it, by ID and label."""
        return XNATListing(
            uri=self._listing_uri("experiments"),
            parent=self,
            field_name="experiments",
            secondary_lookup_field="label",
            xsi_type="xnat:subjectAssessorData",
        )

    @property
    @caching
    def files(self) -> XNATListing[FileData]:
        """The files of its own resources, not those of its subjects."""
        return file_listing(self)

    @property
    @caching
    def resources(self) -> XNATListing[AbstractResource]:
        """Its own resources, by ID and label."""
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

    def download_dir(
        self,
        target_dir: str | Path,
        verbose: bool = True,
        progress_callback: Callable[[str], None] | None = None,
    ) -> None:
        """Download all image sessions of the project into TARGET/PROJECT/SUBJECT/EXPERIMENT.

        Every file is compared with the server's listing, missing folders are made (S-172).

        Parameters
        ----------
        target_dir : path
            The folder.
        verbose : bool
            Report at INFO what was downloaded.
        progress_callback : callable, optional
            Called with a text (S-175).

        Raises
        ------
        XNATIntegrityError
            A file is not what the listing says.
        """
        download_project(self, Path(target_dir), verbose, progress_callback)
