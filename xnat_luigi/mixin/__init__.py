"""What the classes made from the schemas can do besides their fields."""

from .experiments import DerivedData, ExperimentData, ImageSessionData, SubjectAssessorData
from .projects import ProjectData
from .resources import AbstractResource, FileData
from .scans import ImageScanData
from .subjects import InvestigatorData, SubjectData

__all__ = [
    "AbstractResource",
    "DerivedData",
    "ExperimentData",
    "FileData",
    "ImageScanData",
    "ImageSessionData",
    "InvestigatorData",
    "ProjectData",
    "SubjectAssessorData",
    "SubjectData",
]
