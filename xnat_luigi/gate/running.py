"""A run of the intake: a folder, or what was held and failed, with the settings of one place.

Plain functions, no Luigi: for the command line, for cron, and for taking things up again. The
ledger keeps the settings with every study, so that a later command needs no more than its name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import (
    XNATAuthError,
    XNATError,
    XNATLockError,
    XNATNotFoundError,
    XNATValueError,
)
from ..intake import naming, rows
from ..intake.changing import change_studies, find_hook
from ..intake.journey import Arrived, Plan, take_in, take_row
from ..intake.keys import StudyKey
from ..intake.ledger import RESTING, Entry, Ledger
from ..intake.pace import Pace
from ..intake.policy import Policies, read_policies
from ..intake.studies import Studies, Study, read_folder
from ..rest.documents import get_project
from .judging import Judging

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..rest.records import PrearchiveRow

__all__ = [
    "Outcome",
    "Settings",
    "look_into",
    "make_plan",
    "naming_rules",
    "retry",
    "run_folder",
    "run_rows",
    "take_one_row",
    "write_index",
]

log = logging.getLogger(__name__)
Progress = Callable[[StudyKey, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What a run is told, as words: everything here is written into the ledger.

    state: folder of the ledger and the reports. project: used by naming when there is no file of
    rules: subject and session are then PatientName and PatientID, as XNAT's own routing does
    (wire contract B 1.6). hook: `package.module:function`, changes data sets on their way.
    """

    state: str
    project: str = ""
    naming: str = ""
    rules: str = ""
    policy: str = ""
    hook: str = ""
    folder: str = ""
    thumbnails: int = 5

    @property
    def reports(self) -> str:
        return str(Path(self.state) / "reports")

    def words(self) -> dict[str, str]:
        """For the ledger; paths are made absolute, so that a later command may stand elsewhere."""
        made = {name: str(value) for name, value in asdict(self).items() if value}
        for name in ("naming", "rules", "policy", "folder"):
            if name in made:
                made[name] = str(Path(made[name]).absolute())
        made.pop("state")
        return made

    @classmethod
    def of_words(cls, state: str, words: Mapping[str, str]) -> Settings:
        """The settings that `words()` wrote. Raises XNATValueError for others."""
        known = {name: value for name, value in words.items() if name in cls.__dataclass_fields__}
        if not known:
            raise XNATValueError("the ledger does not say with which settings it was taken in")
        thumbnails = int(known.pop("thumbnails", 5))
        return cls(state, thumbnails=thumbnails, **known)


@dataclass(frozen=True)
class Outcome:
    """What a run did: where every study stands, and what never became one.

    refused: StudyInstanceUID -> why no rule names it. busy: studies another process has in hand.
    waiting: rows that were held or rejected by an earlier run, and nothing changed since.
    """

    entries: tuple[Entry, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    busy: tuple[StudyKey, ...] = ()
    found: Studies | None = None
    waiting: tuple[Entry, ...] = ()

    @property
    def good(self) -> bool:
        """Nothing is held, rejected, failed or refused, and files there were are not all something
        else.
        """
        bad = self.waiting or any(entry.stage in RESTING for entry in self.entries)
        strange = self.found is not None and not self.found.studies and self.found.problems
        return not bad and not self.refused and not strange


def make_plan(
    settings: Settings,
    *,
    pace: Pace | None = None,
    again: bool = False,
    overwrite: str | None = None,
) -> Plan:
    """The plan of a run. Raises XNATConfigError for rules, policies, hooks that cannot be used."""
    judge = Judging(settings.rules, settings.reports, settings.thumbnails)
    policies = read_policies(settings.policy) if settings.policy else Policies()
    return Plan(
        Ledger(settings.state),
        judge,
        version=f"{judge.version} {policies}",
        source=settings.words(),
        policies=policies,
        pace=pace or Pace(),
        hook=find_hook(settings.hook) if settings.hook else None,
        again=again,
        overwrite=overwrite,
    )


def write_index(settings: Settings) -> None:
    """The index over all pages of the settings' folder."""
    Judging(settings.rules, settings.reports, settings.thumbnails).write_index()


def naming_rules(settings: Settings) -> tuple[naming.NamingRule, ...]:
    """The rules that name studies."""
    if settings.naming:
        return naming.read_naming(settings.naming)
    if not settings.project:
        raise XNATValueError("say how studies are named: a project, or a file of naming rules")
    return (naming.fixed_names(settings.project, "{PatientName}", "{PatientID}"),)


def look_into(settings: Settings, *, progress: Callable[[int], None] | None = None) -> Studies:
    """The studies of the settings' folder, as they will be after the hook."""
    judge = Judging(settings.rules)
    fields = [*judge.fields, *(name for rule in naming_rules(settings) for name in rule.fields)]
    found = read_folder(settings.folder, fields=tuple(dict.fromkeys(fields)), progress=progress)
    return change_studies(found, find_hook(settings.hook)) if settings.hook else found


def run_folder(
    conn: Connection,
    settings: Settings,
    *,
    workers: int = 2,
    pace: Pace | None = None,
    progress: Progress | None = None,
    told: Callable[[Entry], None] | None = None,
) -> Outcome:
    """Take in every study of a folder; one that is held does not stop the others.

    workers: studies at a time. progress: called with a study, the bytes of it that were sent, and
    its bytes in all. told: called with every study as it comes to rest.

    Raises XNATAuthError and XNATConnectionError, with which nothing would fare better,
    XNATNotFoundError when none of the projects is there, and XNATConfigError.
    """
    plan = make_plan(settings, pace=pace)
    rules = naming_rules(settings)
    found = look_into(settings)
    named, unnamed = naming.name_all(found, rules)
    refused = {study.uid: why for study, why in unnamed}
    missing = _missing_projects(conn, {key.project for _, key in named})
    refused |= {key.study_uid: missing[key.project] for _, key in named if key.project in missing}
    jobs = [
        (study, key, _with_progress(plan, key, progress))
        for study, key in named
        if key.project not in missing
    ]
    entries, busy = _take_all(conn, jobs, workers, told)
    write_index(settings)
    return Outcome(entries, refused, busy, found)


def _missing_projects(conn: Connection, projects: set[str]) -> dict[str, str]:
    """Project -> why nothing can be sent to it. Raises XNATNotFoundError when that is all of them.

    Asked before anything else: an import to a project that is not there goes astray (B 1.6).
    """
    missing = {}
    for project in sorted(projects):
        try:
            get_project(conn, project)
        except XNATNotFoundError as error:
            missing[project] = str(error)
            if len(missing) == len(projects):
                raise
    return missing


def _with_progress(plan: Plan, key: StudyKey, progress: Progress | None) -> Plan:
    return plan if progress is None else replace(plan, progress=partial(progress, key))


def _take_all(
    conn: Connection,
    jobs: Iterable[tuple[Study, StudyKey, Plan]],
    workers: int,
    told: Callable[[Entry], None] | None,
) -> tuple[tuple[Entry, ...], tuple[StudyKey, ...]]:
    busy: list[StudyKey] = []

    def take(job: tuple[Study, StudyKey, Plan]) -> Entry | None:
        study, key, plan = job
        try:
            entry = take_in(conn, study, key, plan)
        except XNATLockError as error:
            log.info("%s: %s", key, error)
            busy.append(key)
            return None
        if told is not None:
            told(entry)
        return entry

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = [entry for entry in pool.map(take, jobs) if entry is not None]
    return tuple(found), tuple(busy)


def retry(
    conn: Connection,
    state: str,
    entries: Iterable[Entry],
    *,
    workers: int = 2,
    pace: Pace | None = None,
    told: Callable[[Entry], None] | None = None,
    overwrite: str | None = None,
) -> Outcome:
    """Look at studies again with the settings they were taken in with, held or not.

    overwrite: "append", for studies of which the archive holds a part and the user wants the rest
    added; see `intake.archiving.archive`.

    Raises XNATValueError when a study's folder is gone or holds it no more.
    """
    done: list[Entry] = []
    busy: list[StudyKey] = []
    jobs = []
    folders: dict[str, Studies] = {}
    wanted: dict[Settings, list[StudyKey]] = {}
    for entry in entries:
        settings = Settings.of_words(state, entry.facts.get("source", {}))
        if not settings.folder:
            wanted.setdefault(settings, []).append(entry.key)
            continue
        if settings.folder not in folders:
            folders[settings.folder] = look_into(settings)
        study = folders[settings.folder].find(entry.key.study_uid)
        plan = make_plan(settings, pace=pace, again=True, overwrite=overwrite)
        jobs.append((study, entry.key, plan))
    for settings, keys in wanted.items():
        found = run_rows(
            conn,
            settings,
            only=keys,
            again=True,
            overwrite=overwrite,
            quiet=0.0,
            workers=workers,
            pace=pace,
            told=told,
        )
        done += found.entries
        busy += found.busy
    more, taken = _take_all(conn, jobs, workers, told)
    for settings in {Settings.of_words(state, one.facts.get("source", {})) for one in more}:
        write_index(settings)
    return Outcome((*done, *more), busy=(*busy, *taken))


def run_rows(
    conn: Connection,
    settings: Settings,
    *,
    quiet: float = rows.QUIET,
    only: Iterable[StudyKey] | None = None,
    again: bool = False,
    overwrite: str | None = None,
    workers: int = 2,
    pace: Pace | None = None,
    told: Callable[[Entry], None] | None = None,
    now: Callable[[], float] = time.time,
) -> Outcome:
    """Take in what others sent into the prearchive: of `settings.project`, or of every project.

    quiet: seconds without a change before a RECEIVING row is taken. only: these studies and no
    others. With nothing to do it costs one request besides the login, however many rows there are.
    """
    plan = make_plan(settings, pace=pace, again=again, overwrite=overwrite)
    watch = rows.watchman(plan.ledger, conn.server, now=now)
    seen = rows.survey(conn, plan, project=settings.project or None, watch=watch, quiet=quiet)
    wanted = None if only is None else set(only)
    refused = {row.url: why for row, why in seen.refused}
    ripe = [(row, key) for row, key in seen.ripe if wanted is None or key in wanted]
    if wanted is None:
        ripe += _give_homes(conn, settings, seen, refused)
    busy: list[StudyKey] = []

    def take(item: tuple[PrearchiveRow, StudyKey]) -> Entry | None:
        try:
            entry = take_one_row(conn, *item, plan)
        except XNATLockError as error:
            log.info("%s: %s", item[1], error)
            busy.append(item[1])
            return None
        if told is not None:
            told(entry)
        return entry

    with ThreadPoolExecutor(max(1, workers)) as pool:
        entries = [entry for entry in pool.map(take, ripe) if entry is not None]
    if entries:
        write_index(settings)
    if wanted is not None:
        return Outcome(tuple(entries), refused, tuple(busy))
    entries += rows.delete_failed(conn, plan, [row for row, _ in seen.resting])
    settled = {entry.key for entry in entries}
    waiting = tuple(entry for entry in seen.waiting if entry.key not in settled)
    return Outcome(tuple(entries), refused, tuple(busy), waiting=waiting)


def _give_homes(
    conn: Connection, settings: Settings, seen: rows.Survey, refused: dict[str, str]
) -> list[tuple[PrearchiveRow, StudyKey]]:
    """Rows of `Unassigned`, moved to the projects that the naming rules give them."""
    moved = []
    for row, key in seen.homeless:
        if not settings.naming:
            refused[row.url] = f"{row.url} belongs to no project: move it, or give naming rules"
            continue
        try:
            moved.append(rows.give_home(conn, row, key, naming.read_naming(settings.naming)))
        except XNATAuthError:
            raise
        except XNATError as error:
            refused[row.url] = f"{row.url}: {error}"
    return moved


def take_one_row(conn: Connection, row: PrearchiveRow, key: StudyKey, plan: Plan) -> Entry:
    """Build a row, read it, and take it as far as it may go.

    Raises XNATLockError when another process has it in hand.
    """
    fields = plan.judge.fields if isinstance(plan.judge, Judging) else ()

    def read() -> Arrived:
        built = rows.build_row(conn, row, key)
        return rows.read_row(conn, built, fields=fields)

    return take_row(conn, row, key, read, plan)
