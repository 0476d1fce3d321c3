r"""DICOM to NIfTI with dcm2niix, sidecars included, back as the resource NIFTI of the scan.

    luigi --module pipelines.nifti nifti.ScanToNifti --server URL --project P \
          --experiment E --scan 1
    luigi --module pipelines.nifti nifti.ProjectToNifti --server URL --project P --workers 4

dcm2niix comes from its own Python package (extra `pipelines`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import luigi

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.exceptions import XNATError
from xnat_luigi.rest import contents, listings
from xnat_luigi.tasks import DerivedTask
from xnat_luigi.uris import Address

__all__ = ["ProjectToNifti", "ScanToNifti", "scans_with", "tool"]


def tool(name: str) -> str:
    """A program of this environment, else of the PATH; XNATError says how to get it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise XNATError(f"{name} is not installed: pip install 'xnat-luigi[pipelines]'")
    return found


class ScanToNifti(DerivedTask):
    """One scan's DICOM as compressed NIfTI with BIDS sidecars."""

    task_namespace = "nifti"
    inputs = {"dicom": "DICOM"}
    result = "NIFTI"
    packages = ("xnat-luigi", "dcm2niix")

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        self.call(
            *(tool("dcm2niix"), "-z", "y", "-b", "y", "-ba", "y", "-w", "1"),
            *("-f", "%s_%d", "-o", workdir, inputs["dicom"]),
            accepted=(0,),
        )
        if not list(workdir.glob("*.nii.gz")):
            raise XNATError(f"dcm2niix made no image of scan {self.scan} of {self.experiment}")


def scans_with(server: str, project: str, resource: str) -> Iterator[tuple[str, str]]:
    """Experiment ID and scan ID of every scan that has a resource; one request an experiment."""
    connection = connection_for(server)
    for session in listings.list_sessions(connection, project):
        address = Address(experiment=session.id)
        for found in contents.list_resources(connection, address, everything=True):
            if found.category == "scans" and found.label == resource:
                yield session.id, found.cat_id


class ProjectToNifti(luigi.WrapperTask):
    """All scans of a project that have DICOM."""

    task_namespace = "nifti"

    server: str = luigi.StrParameter(description="address of the server")
    project: str = luigi.StrParameter(description="project ID")

    def requires(self) -> Iterator[ScanToNifti]:
        for experiment, scan in scans_with(self.server, self.project, "DICOM"):
            yield ScanToNifti(
                server=self.server, project=self.project, experiment=experiment, scan=scan
            )
