r"""All measures of a project in one table, with a page of distributions and outliers.

    luigi --module pipelines.table table.ProjectTable --server URL --project P

Gathers the resource QUALITY of all scans into `measures.csv`, `measures.parquet` and `report.html`,
as the resource MEASURES of the project.
"""

from __future__ import annotations

import csv
import html
import io
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from pipelines.quality import ProjectQuality
from xnat_luigi.exceptions import XNATError
from xnat_luigi.targets.resource import ResourceTarget
from xnat_luigi.tasks import Step

__all__ = ["ProjectTable", "Row", "find_outliers"]

Row = dict[str, Any]
KEYS = ("experiment", "scan", "image")


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

    def sources(self) -> Sequence[tuple[str, ResourceTarget]]:
        return [
            (
                f"{experiment}.{scan}",
                ResourceTarget(
                    self.server, self.project, "QUALITY", experiment=experiment, scan=scan
                ),
            )
            for experiment, scan in self.look_around().scans_with("QUALITY")
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
        experiment, _, scan = name.partition(".")
        measures = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
        for image, values in measures.items():
            yield {"experiment": experiment, "scan": scan, "image": image, **values}


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
    """One self-contained page: a histogram for each measure, then the rows, outliers marked."""
    charts = "".join(
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f"{_histogram([row[name] for row in rows if name in row], name)}</figure>"
        for name in names
    )
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in [*KEYS, *names])
    body = "\n".join(
        "<tr>"
        + "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in KEYS)
        + "".join(_cell(row.get(name), (number, name) in outliers) for name in names)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>Measures of {html.escape(project)}</title>"
        "<style>body{font:14px sans-serif;margin:2em}td,th{padding:.2em .7em;text-align:left}"
        "figure{display:inline-block;margin:1em}.out{font-weight:bold;background:#fde0c5}</style>"
        f"<h1>Measures of {html.escape(project)}</h1>"
        f"<p>{len(rows)} images, {len({number for number, _ in outliers})} with outliers "
        "(bold, marked with &#9650;).</p>"
        f"{charts}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def _cell(value: float | None, outlier: bool) -> str:
    if value is None:
        return "<td></td>"
    return f"<td class=out>&#9650; {value:g}</td>" if outlier else f"<td>{value:g}</td>"


def _histogram(values: Sequence[float], name: str, bins: int = 12) -> str:
    low, high = min(values), max(values)
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    top = max(counts)
    bars = "".join(
        f"<rect x={20 * index} y={80 - 80 * count / top:.0f} width=18 "
        f"height={80 * count / top:.0f} fill='#0072b2'/>"
        for index, count in enumerate(counts)
    )
    return (
        f"<svg width={20 * bins} height=100 role=img aria-label='{html.escape(name)}: "
        f"{len(values)} values from {low:g} to {high:g}'>{bars}"
        f"<text y=96 font-size=11>{low:g}</text>"
        f"<text x={20 * bins} y=96 font-size=11 text-anchor=end>{high:g}</text></svg>"
    )
