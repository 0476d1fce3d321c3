"""What scans can do besides the fields of their schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import uris
from ..core import XNATBaseObject, XNATListing, caching
from ..core.reader import read_header
from ..exceptions import XNATNotFoundError
from .folders import download_scan
from .owners import archive_uri, file_listing, make_resource
from .resources import save_zip

if TYPE_CHECKING:
    from pydicom import FileDataset

    from .resources import AbstractResource, FileData

__all__ = ["ImageScanData"]


class _ScanResources(XNATListing[Any]):
    """The resources of a scan, taken from one listing of its whole session (A 3.6)."""

    def _read(self, query: list[tuple[str, str]]) -> list[dict[str, str]]:
        session = self.parent._parent
        if query or session is None or not hasattr(session, "_all_resources"):
            return super()._read(query)
        return [
            row
            for row in session._all_resources()
            if row.get("category") == "scans" and row.get("cat_id") == self.parent.id
        ]

    def clearcache(self) -> None:
        """Forget what was read, that of the whole session included."""
        super().clearcache()
        session = getattr(self.parent, "_parent", None)
        if session is not None:
            session._cache.pop("_all_resources", None)


class ImageScanData(XNATBaseObject):
    """A scan. Its parent is an image session; new ones are named by `id_` (or `id`)."""

    SECONDARY_LOOKUP_FIELD = "type"
    _CONTAINED_IN = "scans"
    _NAMED_BY = ("id",)

    if TYPE_CHECKING:  # what the schema adds, for editors
        type: str
        quality: str | None
        note: str | None
        series_description: str | None
        frames: int | None
        uid: str | None
        modality: str | None
        scanner: Any
        parameters: Any

        def __getattr__(self, name: str) -> Any: ...

    @property
    def _experiment_id(self) -> str:
        parent = self._parent
        if parent is not None and getattr(parent, "_CONTAINED_IN", None) == "experiments":
            return str(parent.id)
        parts = self.uri.split("/")
        if "experiments" in parts and "projects" not in parts:
            return parts[parts.index("experiments") + 1]
        return str(self.get("image_session_ID"))

    _read_alone = False
    """whether its own document must be read, and not its part of the session's"""

    @caching
    def _read_document(self) -> dict[str, Any]:
        """Return its document: from the second scan on, one request serves all of a session."""
        finder = getattr(self._parent, "_scan_entry", None)
        if finder is not None and self.caching and not self._read_alone:
            entry: dict[str, Any] | None = finder(self.uri.rstrip("/").rsplit("/", 1)[-1])
            if entry is not None:
                return entry
        return super()._read_document()

    def clearcache(self) -> None:
        """Forget what was read, so that it is read anew."""
        super().clearcache()
        self._read_alone = True
        if self._parent is not None:
            self._parent._cache.pop("_read_document", None)

    def _address(self) -> uris.Address:
        return uris.Address(experiment=self._experiment_id, scan=self.id)

    def _listing_uri(self, name: str) -> str:
        return (
            archive_uri(experiment=self._experiment_id, scan=self.id).replace(
                "/data/archive/", "/data/", 1
            )
            + f"/{name}"
        )

    @property
    @caching
    def files(self) -> XNATListing[FileData]:
        """Its files in all resources, by path within their resource."""
        return file_listing(self)

    @property
    @caching
    def resources(self) -> XNATListing[AbstractResource]:
        """Its resources, by ID and label."""
        return _ScanResources(
            uri=self._listing_uri("resources"),
            parent=self,
            field_name="resources",
            secondary_lookup_field="label",
            xsi_type="xnat:resourceCatalog",
        )

    def create_resource(
        self,
        label: str,
        format: str | None = None,
        data_dir: str | Path | None = None,
        method: str = "tgz_file",
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
        """Save all its files as a zip, compared with the listing; return the path (S-168)."""
        return save_zip(self, self._listing_uri("files"), path, verbose)

    def download_dir(self, target_dir: str | Path, verbose: bool = True) -> None:
        """Download it into TARGET/EXPERIMENT/scans/ID-TYPE/... and unpack it (S-170).

        Every file is compared with the server's listing.
        """
        download_scan(self, Path(target_dir), verbose)

    def dicom_dump(self, fields: str | Sequence[str] | None = None) -> list[dict[str, str]]:
        """Return the DICOM header of its first file from the server's dump service (S-202).

        Values are cut at 255 characters by the server; use `read_dicom` for whole ones.

        Parameters
        ----------
        fields : str or sequence of str, optional
            Keywords, or tags of eight hexadecimal digits.
        """
        found: list[dict[str, str]] = self.xnat_session.services.dicom_dump(self, fields)
        return found

    def read_dicom(
        self, file: Any = None, read_pixel_data: bool = False, force: bool = False
    ) -> FileDataset:
        """Read one of its files with pydicom, downloading only what is needed (S-206).

        Parameters
        ----------
        file : FileData, optional
            Which one; the first by path of the resource DICOM, else secondary (F-19).
        read_pixel_data : bool
            Read the pixel data as well, of that one file.
        force : bool
            Read files without a proper header too.

        Raises
        ------
        XNATNotFoundError
            It has no such resource, or no file in it.
        """
        return read_header(file or self._first_file(), read_pixel_data, force)

    def _first_file(self) -> Any:
        for label in ("DICOM", "secondary"):
            if label in self.resources.non_unique_keys or label not in self.resources:
                continue
            files = self.resources[label].files.listing
            if files:
                return min(files, key=lambda one: str(one.path))
        raise XNATNotFoundError(f"{self.uri} has no file in a resource DICOM or secondary")
