"""Pieces of self-contained HTML pages: no script, no font, no request to anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
from PIL import Image

__all__ = ["histogram", "line", "page", "picture", "table"]

BLUE = "#0072b2"
STYLE = """
body { font: 14px/1.4 sans-serif; margin: 2em; color: #222; max-width: 75em }
table { border-collapse: collapse }
th, td { padding: .25em .8em; text-align: left; border-bottom: 1px solid #ddd }
td { font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: 1em 2em 1em 0; vertical-align: top }
figcaption { font-weight: bold; margin-bottom: .4em }
img { image-rendering: pixelated; border: 1px solid #ddd }
.out { font-weight: bold; background: #fde0c5 }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page; `body` is HTML already."""
    name = html.escape(title)
    return (
        "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{name}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{name}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: Iterable[str] = ()) -> str:
    """A table of texts; cells that begin with one of `marked` stand out."""
    marks = tuple(marked)
    columns = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in head)
    lines = "\n".join(
        "<tr>"
        + "".join(
            f"<td{' class=out' if marks and cell.startswith(marks) else ''}>"
            f"{html.escape(cell)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{columns}</tr></thead>\n<tbody>{lines}</tbody></table>"


def histogram(values: Any, name: str, bins: int = 20) -> str:
    """Bars: how many values lie where, with the smallest and largest written below."""
    data = numpy.asarray(values, dtype=float).ravel()
    data = data[numpy.isfinite(data)]
    if not data.size:
        return _figure(name, "<p>no values</p>")
    low, high = float(data.min()), float(data.max())
    if low == high:
        return _figure(name, f"<p>{data.size} values, all {low:g}</p>")
    counts, edges = numpy.histogram(data, bins=bins)
    top = int(counts.max()) or 1
    bars = "".join(
        f'<rect x="{12 * index}" y="{80 - 80 * count / top:.1f}" width="11" '
        f'height="{80 * count / top:.1f}" fill="{BLUE}"/>'
        for index, count in enumerate(counts.tolist())
    )
    label = f"{name}: {data.size} values from {edges[0]:g} to {edges[-1]:g}"
    return _figure(name, _svg(12 * bins, bars, label, f"{edges[0]:.4g}", f"{edges[-1]:.4g}"))


def line(values: Sequence[float], name: str) -> str:
    """A line through values in their order, with the first and last number written below."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    step = 240 / (len(values) - 1)
    points = " ".join(
        f"{step * index:.1f},{78 - 76 * (value - low) / spread:.1f}"
        for index, value in enumerate(values)
    )
    shape = f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>'
    label = f"{name}: {len(values)} values between {low:g} and {high:g}"
    return _figure(
        f"{name} ({low:.3g} to {high:.3g})", _svg(240, shape, label, "1", f"{len(values)}")
    )


def picture(pixels: Any, name: str) -> str:
    """A plane of numbers in grey, from its 1st to its 99th percentile."""
    data = numpy.asarray(pixels, dtype=float)
    low, high = (float(value) for value in numpy.percentile(data, (1, 99)))
    scaled = numpy.clip((data - low) / ((high - low) or 1.0), 0, 1) * 255
    image = Image.fromarray(scaled.astype("uint8"))
    image.thumbnail((256, 256))
    file = io.BytesIO()
    image.save(file, format="PNG")
    text = base64.b64encode(file.getvalue()).decode()
    times = max(1, 192 // max(image.size))
    size = f"width={times * image.width} height={times * image.height}"
    return _figure(
        name, f'<img {size} alt="{html.escape(name)}" src="data:image/png;base64,{text}">'
    )


def _figure(name: str, inner: str) -> str:
    return f"<figure><figcaption>{html.escape(name)}</figcaption>{inner}</figure>"


def _svg(width: int, shapes: str, label: str, left: str, right: str) -> str:
    return (
        f'<svg width="{width}" height="98" role="img" aria-label="{html.escape(label)}">{shapes}'
        f'<text y="95" font-size="11">{left}</text>'
        f'<text x="{width}" y="95" font-size="11" text-anchor="end">{right}</text></svg>'
    )
