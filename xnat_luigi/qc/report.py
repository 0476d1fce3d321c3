"""Reports: one self-contained HTML page a session, an index over all sessions of a folder.

Beside every page lies a JSON file of the same name with the verdict; the index is made of these.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._version import __version__
from ..exceptions import XNATConfigError
from ..staging.save import make_folder, save_text
from .material import Material, SeriesFiles
from .pages import INDEX, SESSION, STYLE
from .protocol import describe_span, matches
from .rules import Rules
from .thumbnails import COUNT, Thumbnail, make_strip
from .verdicts import FAIL, PASS, STATUSES, WARN, Verdict

log = logging.getLogger(__name__)
SIGNS = {
    PASS: "\N{CHECK MARK}",
    WARN: "\N{BLACK UP-POINTING TRIANGLE}",
    FAIL: "\N{MULTIPLICATION X}",
}
INDEX_NAME = "index.html"


@dataclass(frozen=True, slots=True)
class Expected:
    """A line of the table «expected beside what came»."""

    name: str
    wanted: str
    came: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The pictures of one series."""

    title: str
    thumbnails: tuple[Thumbnail, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """One session in the index."""

    project: str
    subject: str
    session: str
    status: str
    reasons: tuple[str, ...]
    href: str
    made: str


def expect(rules: Rules, material: Material, verdict: Verdict) -> list[Expected]:
    """What each series rule wanted beside the series that came, then the series no rule names."""
    lines = []
    named: set[str] = set()
    for rule in rules.series:
        kind = [series for series in material.series if matches(rule, series)]
        named.update(series.uid for series in kind)
        count = describe_span(rule.minimum, rule.maximum)
        files = describe_span(rule.minimum_files, rule.maximum_files)
        found = [f for f in verdict.findings if f.rule.startswith(f"{rule.name}: ")]
        status = max((f.status for f in found), key=STATUSES.index, default=PASS)
        wanted = f"{count} series, {files} files each"
        lines.append(Expected(rule.name, wanted, tuple(map(_tell, kind)), status))
    for series in material.series:
        if series.uid not in named:
            found = [f for f in verdict.findings if f.series == series.uid]
            status = max((f.status for f in found), key=STATUSES.index, default=PASS)
            lines.append(Expected(series.description, "not expected", (_tell(series),), status))
    return lines


def _tell(series: SeriesFiles) -> str:
    count = f"{series.modality}, {len(series.headers)} files"
    return f"{series.number or '?'} {series.description} ({count})"


def _environment() -> Any:
    try:
        from jinja2 import Environment
    except ImportError:
        raise XNATConfigError(
            "reports need Jinja2, numpy and Pillow: pip install 'xnat-luigi[qc]'"
        ) from None
    return Environment(autoescape=True, trim_blocks=True)


def make_strips(material: Material, *, thumbnails: int = COUNT) -> tuple[Strip, ...]:
    """The pictures of all series, for `render_session`; reads pixel data.

    thumbnails: pictures a series, 0 for none.
    """
    return tuple(
        Strip(_tell(series), tuple(make_strip(material, series, count=thumbnails)))
        for series in material.series
        if thumbnails
    )


def render_session(
    material: Material,
    verdict: Verdict,
    rules: Rules | None = None,
    *,
    project: str = "",
    notes: Sequence[tuple[str, Sequence[str]]] = (),
    thumbnails: int = COUNT,
    strips: Sequence[Strip] | None = None,
    made: datetime | None = None,
) -> str:
    """The page of one session as HTML text.

    notes: further sections, title and lines, such as what the server's own validation said.
    thumbnails: pictures a series, 0 for none. strips: pictures made before, by `make_strips`.
    Raises XNATConfigError when the extra `qc` is not installed.
    """
    template = _environment().from_string(SESSION)
    if strips is None:
        strips = make_strips(material, thumbnails=thumbnails)
    words = {"project": project, "subject": material.subject, "study": material.study_uid}
    about = ", ".join(f"{name} {value}" for name, value in words.items() if value)
    counts = Counter(found.status for found in verdict.findings)
    return str(
        template.render(
            session=material.session or material.study_uid or "study",
            about=about,
            verdict=verdict,
            expected=expect(rules, material, verdict) if rules is not None else [],
            strips=strips,
            notes=[(title, list(lines)) for title, lines in notes if lines],
            counts={status: counts[status] for status in STATUSES},
            sign=SIGNS,
            style=_safe(STYLE),
            version=__version__,
            made=_moment(made),
        )
    )


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _moment(made: datetime | None) -> str:
    return (made or datetime.now(timezone.utc)).strftime("%Y-%m-%d %H:%M UTC")


def write_report(
    folder: str | Path,
    material: Material,
    verdict: Verdict,
    rules: Rules | None = None,
    *,
    project: str = "",
    notes: Sequence[tuple[str, Sequence[str]]] = (),
    thumbnails: int = COUNT,
    strips: Sequence[Strip] | None = None,
    made: datetime | None = None,
    index: bool = True,
) -> Path:
    """Write a session's page and its JSON, and the folder's index anew; returns the page's path.

    The page is `PROJECT/SESSION.html` below `folder` (without the first part when there is no
    project). Files are named from the study's folder on: what leads there is of no concern to
    whom the page reaches. index: False for who writes many and calls `write_index` at the end.
    """
    verdict = _from_the_folder(verdict, material)
    place = Path(folder) / project if project else Path(folder)
    name = material.session or material.study_uid or "study"
    make_folder(place)
    page = place / f"{name}.html"
    text = render_session(
        material,
        verdict,
        rules,
        project=project,
        notes=notes,
        thumbnails=thumbnails,
        strips=strips,
        made=made,
    )
    save_text(page, text)
    record: Mapping[str, Any] = {
        "project": project,
        "subject": material.subject,
        "session": name,
        "study_uid": material.study_uid,
        "made": _moment(made),
        "verdict": verdict.to_dict(),
    }
    save_text(place / f"{name}.json", json.dumps(record, ensure_ascii=False, indent=1))
    if index:
        write_index(folder)
    return page


def _from_the_folder(verdict: Verdict, material: Material) -> Verdict:
    """The same findings with the files' paths from the folder of the study on."""
    places = [os.path.dirname(header.path) for header in material.headers]
    try:
        root = os.path.commonpath(places) if all(places) else ""
    except ValueError:  # a mixture of absolute and relative paths
        root = ""
    if not root:
        return verdict
    return Verdict.of(
        replace(found, files=tuple(os.path.relpath(path, root) for path in found.files))
        for found in verdict.findings
    )


def read_summaries(folder: str | Path) -> list[Summary]:
    """The sessions whose reports lie in a folder, worst first."""
    found = []
    root = Path(folder)
    for path in sorted(root.rglob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            verdict = Verdict.from_dict(data["verdict"])
            found.append(
                Summary(
                    data["project"],
                    data["subject"],
                    data["session"],
                    verdict.status,
                    verdict.reasons,
                    path.with_suffix(".html").relative_to(root).as_posix(),
                    data["made"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is no report and is left out of the index: %s", path, error)
    return sorted(found, key=lambda one: (-STATUSES.index(one.status), one.project, one.session))


def write_index(folder: str | Path, *, title: str = "QC of sessions") -> Path:
    """Write `index.html` over all reports of a folder; returns its path."""
    sessions = read_summaries(folder)
    counts = Counter(one.status for one in sessions)
    text = (
        _environment()
        .from_string(INDEX)
        .render(
            title=title,
            sessions=sessions,
            projects=sorted({one.project for one in sessions if one.project}),
            counts={status: counts[status] for status in STATUSES},
            sign=SIGNS,
            style=_safe(STYLE),
        )
    )
    make_folder(Path(folder))
    path = Path(folder) / INDEX_NAME
    save_text(path, text)
    return path
