"""What subjects can do besides the fields of their schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import uris
from ..core import CustomVariableMap, XNATBaseObject, XNATListing, caching
from ..rest import items
from .folders import download_subject
from .owners import archive_uri, file_listing, make_resource, resource_listing

if TYPE_CHECKING:
    from .experiments import ImageSessionData
    from .resources import AbstractResource, FileData

__all__ = ["InvestigatorData", "SubjectData"]


class Shared(XNATBaseObject):
    """Labels and projects of what can be shared: subjects and experiments."""

    @property
    def project_id(self) -> str:
        """The ID of the project it was asked through, else of its own."""
        return str(self.get("project"))

    @property
    def _own_project(self) -> str:
        return str(self.data.get("project") or self.project_id)

    @property
    def label(self) -> str:
        """Its label in the project it was asked through."""
        return str(self.get("label"))

    @label.setter
    def label(self, value: str) -> None:
        items.rename(self.xnat_session.connection, self._write_uri(), value)
        self._overwrites.pop("label", None)
        self._forget_container(self._parent)
        self.clearcache()

    def share(self, project: Any, label: str | None = None) -> None:
        """Share it into another project (S-152).

        Parameters
        ----------
        project : str or project
            The ID of the project, or the project.
        label : str, optional
            Its label there; its own when missing.

        Raises
        ------
        XNATConflictError
            The label is taken there.
        """
        target = project if isinstance(project, str) else project.id
        items.share(
            self.xnat_session.connection, uris.quote_listed(self._share_uri()), target, label=label
        )
        self._forget_container(self._parent)
        self.clearcache()

    def _share_uri(self) -> str:
        return self.fulluri


class SubjectData(Shared):
    """A subject. Its parent is a project."""

    SECONDARY_LOOKUP_FIELD = "label"
    _CONTAINED_IN = "subjects"

    if TYPE_CHECKING:  # what the schema adds, for editors
        project: str
        group: str
        src: str
        demographics: Any
        initials: str

        def __getattr__(self, name: str) -> Any: ...

    def _address(self) -> uris.Address:
        return uris.Address(project=self.project_id, subject=self.id)

    @property
    def fulluri(self) -> str:
        """Its address through its project."""
        return archive_uri(project=self.project_id, subject=self.id)

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

    @property
    @caching
    def experiments(self) -> XNATListing[ImageSessionData]:
        """Its experiments, by ID and label."""
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
        """The files of its own resources, not those of its experiments."""
        return file_listing(self)

    @property
    @caching
    def resources(self) -> XNATListing[AbstractResource]:
        """Its own resources, by ID and label."""
        return resource_listing(self)

    def share(self, project: Any, label: str | None = None) -> None:
        """Share it into another project, see `Shared.share`."""
        super().share(project, label)

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
        """Download its image sessions into TARGET/SUBJECT/EXPERIMENT (S-171).

        Every file is compared with the server's listing, missing folders are made.

        Parameters
        ----------
        target_dir : path
            The folder.
        verbose : bool
            Report at INFO what was downloaded.
        progress_callback : callable, optional
            Called with a text (S-175).
        """
        download_subject(self, Path(target_dir), verbose, progress_callback)


class InvestigatorData(XNATBaseObject):
    """A person; shown by name (S-115)."""

    def __str__(self) -> str:
        parts = [self.get(name) for name in ("title", "firstname", "lastname")]
        return f"<InvestigatorData {' '.join(str(p) for p in parts if p) or 'without a name'}>"

    __repr__ = __str__
