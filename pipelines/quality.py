r"""Image quality measures of a scan: signal to noise, ghosting, motion between volumes.

    luigi --module pipelines.quality quality.ScanQuality --server URL --project P \
          --experiment E --scan 1
    luigi --module pipelines.quality quality.ProjectQuality --server URL --project P --workers 4

Back comes an assessor of the session, `SESSION_SCAN_QUALITY`, whose custom variables are the
measures, with `measures.json` and one page `report.html` as its files. The measures are those of a
quick look, by numpy and nibabel; they compare scans of one protocol with one another.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi
import nibabel
import numpy

from pipelines import pages
from pipelines.nifti import ScanToNifti
from xnat_luigi.exceptions import XNATError
from xnat_luigi.tasks import DerivedAssessor, EveryScan

__all__ = ["ProjectQuality", "ScanQuality", "measure", "worst"]

WORSE = {"snr": min, "ghosting": max, "motion": max}
"""Of several images of a scan the assessor shows the value that is worse."""


class ScanQuality(DerivedAssessor):
    """Measures of all images of a scan."""

    task_namespace = "quality"
    inputs = {"nifti": "NIFTI"}
    result = "QUALITY"
    packages = ("xnat-luigi", "numpy", "nibabel", "Pillow")

    threshold: float = luigi.FloatParameter(
        default=0.1, description="what is darker than this share of the brightest is background"
    )

    def requires(self) -> ScanToNifti:
        return self.derive(ScanToNifti)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> Mapping[str, Any]:
        found: dict[str, dict[str, float]] = {}
        shown: list[str] = []
        for path in sorted(inputs["nifti"].rglob("*.nii.gz")):
            image: Any = nibabel.load(path)
            series = as_series(image.get_fdata())
            found[path.name] = measure(series, self.threshold)
            shown += plots(path.name, series)
        if not found:
            raise XNATError(f"{self.experiment}, scan {self.scan}: NIFTI holds no image")
        document = {"scan": self.scan, "images": found}
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        (workdir / "measures.json").write_text(text, encoding="utf-8")
        names = sorted(next(iter(found.values())))
        rows = [[name, *(f"{one[key]:g}" for key in names)] for name, one in found.items()]
        body = [pages.table(["image", *names], rows), *shown]
        title = f"Image quality, scan {self.scan}"
        (workdir / "report.html").write_text(pages.page(title, body), encoding="utf-8")
        return {f"custom.{name}": value for name, value in worst(found.values()).items()}


def worst(found: Any) -> dict[str, float]:
    """The measures that a person looks at, each the worse of all images."""
    measures: Sequence[Mapping[str, float]] = list(found)
    return {name: pick(one[name] for one in measures) for name, pick in WORSE.items()}


def as_series(volume: Any) -> Any:
    """Numbers with four axes, the last one the volumes."""
    data = numpy.asarray(volume, dtype=float)
    while data.ndim < 3:
        data = data[..., numpy.newaxis]
    return data[..., numpy.newaxis] if data.ndim == 3 else data.reshape(*data.shape[:3], -1)


def plots(name: str, series: Any) -> list[str]:
    """The middle slice, how bright the voxels are, and the mean of every volume."""
    mean = series.mean(axis=-1)
    middle = mean[:, :, mean.shape[2] // 2]
    means = [float(value) for value in series.mean(axis=(0, 1, 2))]
    return [
        f"<h2>{html.escape(name)}</h2>",
        pages.picture(numpy.rot90(middle), "middle slice"),
        pages.histogram(mean, "intensities"),
        pages.line(means, "mean of every volume"),
    ]


def measure(volume: Any, threshold: float = 0.1) -> dict[str, float]:
    """Measures of a volume or a series of volumes (last axis).

    snr: mean of the foreground over the standard deviation of the background.
    ghosting: mean of the background along the second axis' foreground over the mean foreground.
    motion: mean shift of the centre of mass between volumes, in voxels; 0 for one volume.
    """
    series = as_series(volume)
    mean = series.mean(axis=-1)
    bright = float(numpy.percentile(mean, 99.5)) or 1.0
    inside = mean > threshold * bright
    foreground, background = mean[inside], mean[~inside]
    noise = float(background.std()) if background.size else 0.0
    signal = float(foreground.mean()) if foreground.size else 0.0
    lines = inside.any(axis=1, keepdims=True) & ~inside
    ghosts = float(mean[lines].mean()) if lines.any() else 0.0
    return {
        "snr": round(signal / noise, 4) if noise else 0.0,
        "ghosting": round(ghosts / signal, 6) if signal else 0.0,
        "motion": round(_motion(series), 6),
        "volumes": float(series.shape[-1]),
        "mean": round(float(mean.mean()), 4),
        "spread": round(float(mean.std()), 4),
    }


def _motion(series: Any) -> float:
    if series.shape[-1] < 2:
        return 0.0
    grid = numpy.indices(series.shape[:3]).reshape(3, -1)
    centres = []
    for index in range(series.shape[-1]):
        weights = numpy.clip(series[..., index], 0, None).ravel()
        total = weights.sum() or 1.0
        centres.append((grid * weights).sum(axis=1) / total)
    steps = numpy.diff(numpy.array(centres), axis=0)
    return float(numpy.sqrt((steps**2).sum(axis=1)).mean())


class ProjectQuality(EveryScan):
    """All scans of a project that have DICOM, through NIfTI to measures."""

    task_namespace = "quality"
    step = ScanQuality

    threshold: float = luigi.FloatParameter(default=0.1, description="see quality.ScanQuality")
