r"""Image quality measures of a scan's NIfTI: signal to noise, ghosting, motion between volumes.

    luigi --module pipelines.quality quality.ScanQuality --server URL --project P \
          --experiment E --scan 1

Back comes the resource QUALITY of the scan: `measures.json` and one page `report.html`. The
measures are those of a quick look, by numpy and nibabel; they compare scans of one protocol with
one another.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import luigi
import nibabel
import numpy

from pipelines.nifti import ScanToNifti
from xnat_luigi.exceptions import XNATError
from xnat_luigi.tasks import DerivedTask, EveryScan

__all__ = ["ProjectQuality", "ScanQuality", "measure"]


class ScanQuality(DerivedTask):
    """Measures of all images of a scan."""

    task_namespace = "quality"
    inputs = {"nifti": "NIFTI"}
    result = "QUALITY"
    packages = ("xnat-luigi", "numpy", "nibabel")

    threshold: float = luigi.FloatParameter(
        default=0.1, description="what is darker than this share of the brightest is background"
    )

    def requires(self) -> ScanToNifti:
        return self.derive(ScanToNifti)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        found: dict[str, dict[str, float]] = {}
        for path in sorted(inputs["nifti"].rglob("*.nii.gz")):
            image: Any = nibabel.load(path)
            found[path.name] = measure(image.get_fdata(), self.threshold)
        if not found:
            raise XNATError(f"{self.experiment}, scan {self.scan}: NIFTI holds no image")
        text = json.dumps(found, indent=1, sort_keys=True) + "\n"
        (workdir / "measures.json").write_text(text, encoding="utf-8")
        (workdir / "report.html").write_text(_page(self.scan, found), encoding="utf-8")


def measure(volume: Any, threshold: float = 0.1) -> dict[str, float]:
    """Measures of a volume or a series of volumes (last axis).

    snr: mean of the foreground over the standard deviation of the background.
    ghosting: mean of the background along the second axis' foreground over the mean foreground.
    motion: mean shift of the centre of mass between volumes, in voxels; 0 for one volume.
    """
    data = numpy.asarray(volume, dtype=float)
    series = data[..., numpy.newaxis] if data.ndim == 3 else data
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


def _page(scan: str, found: Mapping[str, Mapping[str, float]]) -> str:
    """One self-contained page: a table, and a bar for each measure of each image."""
    names = sorted(next(iter(found.values())))
    largest = {name: max(abs(one[name]) for one in found.values()) or 1.0 for name in names}
    rows = "\n".join(
        f"<tr><th scope=row>{html.escape(image)}</th>"
        + "".join(
            f"<td>{one[name]:g}<svg width=80 height=8 role=img aria-label='{name}'>"
            f"<rect width={80 * abs(one[name]) / largest[name]:.0f} height=8 fill='#0072b2'/>"
            "</svg></td>"
            for name in names
        )
        + "</tr>"
        for image, one in sorted(found.items())
    )
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in names)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>Image quality, scan {html.escape(scan)}</title>"
        "<style>body{font:14px sans-serif;margin:2em}td,th{padding:.3em .8em;text-align:left}"
        "svg{display:block}</style>"
        f"<h1>Image quality, scan {html.escape(scan)}</h1>"
        f"<table><thead><tr><th scope=col>image</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></html>\n"
    )


class ProjectQuality(EveryScan):
    """All scans of a project that have DICOM, through NIfTI to measures."""

    task_namespace = "quality"
    step = ScanQuality

    threshold: float = luigi.FloatParameter(default=0.1, description="see quality.ScanQuality")
