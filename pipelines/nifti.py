r"""DICOM to NIfTI with dcm2niix, sidecars included, back as the resource NIFTI of the scan.

    luigi --module pipelines.nifti nifti.ScanToNifti --server URL --project P \
          --experiment E --scan 1
    luigi --module pipelines.nifti nifti.ProjectToNifti --server URL --project P --workers 4

dcm2niix comes from its own Python package (extra `pipelines`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from xnat_luigi.exceptions import XNATError
from xnat_luigi.tasks import DerivedTask, EveryScan

__all__ = ["ProjectToNifti", "ScanToNifti", "tool"]


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


class ProjectToNifti(EveryScan):
    """All scans of a project that have DICOM."""

    task_namespace = "nifti"
    step = ScanToNifti
