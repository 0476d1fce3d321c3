r"""All measures of a project in one table, with a page of distributions and outliers.

    luigi --module pipelines.table table.ProjectTable --server URL --project P

Gathers the assessors of `pipelines.quality` into `measures.csv`, `measures.parquet` and
`report.html`, as the resource MEASURES of the project.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from pipelines import pages
from pipelines.quality import ProjectQuality, ScanQuality
from xnat_luigi.exceptions import XNATError
from xnat_luigi.targets.resource import ResourceTarget
from xnat_luigi.tasks import Step

__all__ = ["ProjectTable", "Row", "find_outliers"]

Row = dict[str, Any]
KEYS = ("experiment", "scan", "image")
MARK = "\N{BLACK UP-POINTING TRIANGLE}"


class ProjectTable(Step):
    """The table of a project."""

    task_namespace = "table"
    packages = ("xnat-luigi", "pyarrow")

    deviations: float = luigi.FloatParameter(
        default=3.5, description="from so many robust standard deviations on it is an outlier"
    )

    threshold: float = luigi.FloatParameter(default=0.1, description="see quality.ScanQuality")

    def requires(self) -> ProjectQuality:
        return self.derive(ProjectQuality)

    def assessor_types(self) -> tuple[str, ...]:
        return (ScanQuality.xsi_type,)

    def sources(self) -> Sequence[tuple[str, ResourceTarget]]:
        return [
            (
                f"{experiment}.{assessor}",
                ResourceTarget(
                    self.server, self.project, "QUALITY", experiment=experiment, assessor=assessor
                ),
            )
            for experiment, assessor in self.look_around().assessors_with("QUALITY")
        ]

    def output(self) -> ResourceTarget:
        return ResourceTarget(self.server, self.project, "MEASURES")

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        rows = sorted(_rows(inputs), key=lambda row: [str(row[key]) for key in KEYS])
        if not rows:
            raise XNATError(f"project {self.project} has no measures to gather")
        names = sorted({name for row in rows for name in row} - set(KEYS))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*KEYS, *names], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (workdir / "measures.csv").write_text(text.getvalue(), encoding="utf-8")
        _write_parquet(workdir / "measures.parquet", rows, [*KEYS, *names])
        page = _page(self.project, rows, names, find_outliers(rows, names, self.deviations))
        (workdir / "report.html").write_text(page, encoding="utf-8")


def _rows(inputs: Mapping[str, Path]) -> Iterator[Row]:
    for name, folder in inputs.items():
        found = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
        for image, values in found["images"].items():
            experiment = name.partition(".")[0]
            yield {"experiment": experiment, "scan": found["scan"], "image": image, **values}


def _write_parquet(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    pyarrow.parquet.write_table(table, path)


def find_outliers(
    rows: Sequence[Row], names: Sequence[str], deviations: float
) -> set[tuple[int, str]]:
    """Row number and measure of every value far from the median of its measure.

    Far is more than `deviations` times 1.4826 median absolute deviations; a measure without any
    spread has no outliers.
    """
    found = set()
    for name in names:
        values = [(number, row[name]) for number, row in enumerate(rows) if name in row]
        middle = statistics.median(value for _, value in values)
        spread = 1.4826 * statistics.median(abs(value - middle) for _, value in values)
        found |= {
            (number, name)
            for number, value in values
            if spread and abs(value - middle) > deviations * spread
        }
    return found


def _page(
    project: str, rows: Sequence[Row], names: Sequence[str], outliers: set[tuple[int, str]]
) -> str:
    """Histograms, then the rows, outliers marked by a triangle and not by colour alone."""
    charts = [
        pages.histogram([row[name] for row in rows if name in row], name, bins=12) for name in names
    ]
    odd = len({number for number, _ in outliers})
    told = f"<p>{len(rows)} images, {odd} with outliers (bold, marked with {MARK}).</p>"
    cells = [
        [
            *(str(row[key]) for key in KEYS),
            *(_cell(row.get(name), (number, name) in outliers) for name in names),
        ]
        for number, row in enumerate(rows)
    ]
    body = [told, *charts, pages.table([*KEYS, *names], cells, marked=[MARK])]
    return pages.page(f"Measures of {project}", body)


def _cell(value: float | None, outlier: bool) -> str:
    if value is None:
        return ""
    return f"{MARK} {value:g}" if outlier else f"{value:g}"
