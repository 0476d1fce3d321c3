"""`xnat-luigi intake`: studies into the archive, and where each of them stands."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATValueError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ..gate.running import Outcome
    from ..intake.keys import StudyKey
    from ..intake.ledger import Entry, Ledger

NAME = "intake"
HELP = """Takes DICOM studies in: looked at, archived exactly once, or held with the reason.

    xnat-luigi intake run FOLDER --server URL --project P --rules rules.toml
    xnat-luigi intake rows --server URL --project P --rules rules.toml
    xnat-luigi intake status [--json | --mail]
    xnat-luigi intake explain SESSION
    xnat-luigi intake retry [SESSION ...]

What happened to every study lies in the ledger below --state (default: intake-state). Exit status
of `run`, `rows` and `retry`: 0 everything is archived, 1 something is held, rejected, failed or
refused, 3 no such project, 5 the server does not answer.
"""
STATE = "intake-state"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_run(verbs.add_parser("run", help="take in every study of a folder"))
    _add_rows(verbs.add_parser("rows", help="take in what was sent into the prearchive"))
    status = verbs.add_parser("status", help="where every study stands")
    _add_common(status)
    _add_which(status)
    status.add_argument("--stage", action="append", default=[], help="only these stages")
    status.add_argument("--mail", action="store_true", help="a summary, its first line the subject")
    status.add_argument(
        "--hours", type=float, default=24.0, help="how far back the mail looks (24)"
    )
    explain = verbs.add_parser("explain", help="the whole history of a session")
    explain.add_argument("session", help="session label or StudyInstanceUID")
    _add_common(explain)
    _add_which(explain)
    again = verbs.add_parser("retry", help="look again at what is held or failed")
    again.add_argument(
        "session", nargs="*", help="session labels or StudyInstanceUIDs; all that failed if none"
    )
    again.add_argument("--held", action="store_true", help="all that are held as well")
    again.add_argument(
        "--append",
        action="store_true",
        help="add what the archive lacks of these studies; replaces files of the same name",
    )
    again.add_argument("--workers", type=int, default=2, help="studies at a time (2)")
    _add_common(again)
    _add_which(again)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", default=STATE, help=f"folder of ledger and reports ({STATE})")
    parser.add_argument("--json", action="store_true", help="for machines")


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="", help="only this server")
    parser.add_argument("--project", default="", help="only this project")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="folder with DICOM files, any depth")
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument("--project", default="", help="project, unless --naming tells it")
    parser.add_argument("--naming", default="", help="TOML file: what studies are called")
    parser.add_argument("--hook", default="", help="package.module:function that changes data sets")
    parser.add_argument("--dry-run", action="store_true", help="name and judge, send nothing")
    _add_judging(parser)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument("--project", default="", help="project; all that we may edit without")
    parser.add_argument(
        "--naming",
        default="",
        help="TOML file: to which projects rows of `Unassigned` belong (administrators see them)",
    )
    parser.add_argument(
        "--quiet",
        type=float,
        default=300.0,
        help="seconds without a new file before a row is built (300)",
    )
    _add_judging(parser)


def _add_judging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", default="", help="TOML file: what QC asks of a study")
    parser.add_argument("--policy", default="", help="TOML file: what follows a verdict")
    parser.add_argument("--workers", type=int, default=2, help="studies at a time (2)")
    _add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Does what the sub-command says."""
    verbs = {"run": _run, "rows": _rows, "status": _status, "explain": _explain, "retry": _retry}
    return verbs[arguments.verb](arguments)


def _ledger(arguments: argparse.Namespace) -> Ledger:
    from ..intake.ledger import Ledger

    return Ledger(arguments.state)


def _entries(arguments: argparse.Namespace) -> list[Entry]:
    ledger = _ledger(arguments)
    return ledger.entries(server=arguments.server, project=arguments.project)


def _named(arguments: argparse.Namespace, session: str) -> list[Entry]:
    found = _ledger(arguments).find(session, server=arguments.server, project=arguments.project)
    if not found:
        raise XNATValueError(
            f"the ledger below {arguments.state} knows no {session}; `intake status` lists all"
        )
    return found


# run and retry ----------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    from ..connection.registry import close_all, connection_for
    from ..gate.running import Settings, run_folder

    settings = Settings(
        state=arguments.state,
        project=arguments.project,
        naming=arguments.naming,
        rules=arguments.rules,
        policy=arguments.policy,
        hook=arguments.hook,
        folder=arguments.folder,
    )
    if arguments.dry_run:
        return _dry_run(settings)
    try:
        with _bars() as progress:
            outcome = run_folder(
                connection_for(arguments.server),
                settings,
                workers=arguments.workers,
                progress=progress,
                told=None if arguments.json else _say,
            )
    finally:
        close_all()
    return _end(arguments, outcome)


def _rows(arguments: argparse.Namespace) -> int:
    from ..connection.registry import close_all, connection_for
    from ..gate.running import Settings, run_rows

    settings = Settings(
        state=arguments.state,
        project=arguments.project,
        naming=arguments.naming,
        rules=arguments.rules,
        policy=arguments.policy,
    )
    try:
        outcome = run_rows(
            connection_for(arguments.server),
            settings,
            quiet=arguments.quiet,
            workers=arguments.workers,
            told=None if arguments.json else _say,
        )
    finally:
        close_all()
    return _end(arguments, outcome)


def _retry(arguments: argparse.Namespace) -> int:
    from ..connection.registry import close_all, connection_for
    from ..gate.running import Outcome, retry
    from ..intake.ledger import FAILED, HELD

    if arguments.append and not arguments.session:
        raise XNATValueError("--append is said for studies by name, never for all")
    if arguments.session:
        wanted = [entry for name in arguments.session for entry in _named(arguments, name)]
    else:
        stages = (FAILED, HELD) if arguments.held else (FAILED,)
        wanted = [entry for entry in _entries(arguments) if entry.stage in stages]
    if not wanted and not arguments.json:
        kinds = "failed or held" if arguments.held else "failed"
        print(f"nothing to retry: no study in the ledger below {arguments.state} is {kinds}")
    entries: list[Entry] = []
    try:
        for server in sorted({entry.server for entry in wanted}):
            mine = [entry for entry in wanted if entry.server == server]
            done = retry(
                connection_for(server),
                arguments.state,
                mine,
                workers=arguments.workers,
                told=None if arguments.json else _say,
                overwrite="append" if arguments.append else None,
            )
            entries += done.entries
    finally:
        close_all()
    return _end(arguments, Outcome(tuple(entries)))


@contextmanager
def _bars() -> Iterator[Callable[[StudyKey, int, int], None] | None]:
    """A bar for every study that is being sent, on a terminal only; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        known: dict[StudyKey, TaskID] = {}

        def show(key: StudyKey, done: int, total: int) -> None:
            if key not in known:
                known[key] = bars.add_task(f"sending {key.session}", total=total)
            bars.update(known[key], completed=done, visible=done < total)

        yield show


def _say(entry: Entry) -> None:
    reason = f": {entry.detail}" if entry.detail else ""
    print(f"{entry.key.project}/{entry.key.session} {entry.stage}{reason}", flush=True)


def _end(arguments: argparse.Namespace, outcome: Outcome) -> int:
    from ..intake.overview import status_data

    if arguments.json:
        document: dict[str, Any] = {
            "studies": [status_data(entry) for entry in (*outcome.entries, *outcome.waiting)],
            "refused": dict(outcome.refused),
            "busy": [key.session for key in outcome.busy],
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        for entry in outcome.waiting:
            _say(entry)
        for why in outcome.refused.values():
            print(f"refused: {why}", file=sys.stderr)
        for key in outcome.busy:
            print(f"{key.project}/{key.session}: another process has it in hand", file=sys.stderr)
        _say_problems(outcome)
    return 0 if outcome.good else 1


def _say_problems(outcome: Outcome) -> None:
    """Files that belong to no study: counted by what they are."""
    if outcome.found is None:
        return
    kinds: dict[str, list[str]] = {}
    for problem in outcome.found.problems:
        kinds.setdefault(problem.kind, []).append(problem.path)
    for kind, paths in sorted(kinds.items()):
        print(f"not taken in: {len(paths)} files, {kind}, such as {paths[0]}", file=sys.stderr)
    if not outcome.found.studies:
        print(f"{outcome.found.root} holds no DICOM study", file=sys.stderr)


def _dry_run(settings: Any) -> int:
    from ..dicom import read_header
    from ..gate.judging import judge_headers
    from ..gate.running import look_into, naming_rules
    from ..intake.naming import name_all
    from ..qc.rules import read_rules

    found = look_into(settings)
    rules = read_rules(settings.rules) if settings.rules else None
    named, refused = name_all(found, naming_rules(settings))
    for study, key in named:
        headers = [*study.files, *(read_header(path) for path in study.odd)]
        _, verdict = judge_headers(
            headers, rules, subject=key.subject, session=key.session, study_uid=key.study_uid
        )
        told = f": {'; '.join(verdict.reasons)}" if verdict.reasons else ""
        count = f"{len(study.files)} files in {len(study.series)} series"
        print(f"{key.project}/{key.subject}/{key.session}, {count}, {verdict.status}{told}")
    for _, why in refused:
        print(f"refused: {why}", file=sys.stderr)
    return 1 if refused else 0


# status and explain -----------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    from ..intake.overview import HEADINGS, mail, select, status_data, status_row

    _refuse_stages(arguments.stage)
    entries = select(_entries(arguments), only=arguments.stage)
    if arguments.json:
        print(json.dumps([status_data(one) for one in entries], ensure_ascii=False, indent=1))
    elif arguments.mail:
        print(mail(entries, now=datetime.now(timezone.utc), hours=arguments.hours), end="")
    elif not entries:
        held = len(_ledger(arguments).entries())
        told = f"{held} studies, none of which fits" if held else "no study"
        print(f"the ledger below {arguments.state} holds {told}")
    else:
        _print_table(HEADINGS, [status_row(entry) for entry in entries])
    return 0


def _refuse_stages(names: Iterable[str]) -> None:
    """Raises XNATValueError for a stage that there is not: it would look like «nothing waits»."""
    from ..intake.ledger import STAGES

    for name in names:
        if name not in STAGES:
            near = difflib.get_close_matches(name, STAGES, 1)
            hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(STAGES)}"
            raise XNATValueError(f"{name!r} is no stage of a study; {hint}")


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """On a terminal as wide as it is; otherwise whole lines, so that grep and less see all."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False)
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _explain(arguments: argparse.Namespace) -> int:
    from ..intake.overview import history_data, tell

    found = _named(arguments, arguments.session)
    if arguments.json:
        print(json.dumps([history_data(one) for one in found], ensure_ascii=False, indent=1))
    else:
        print("\n\n".join(tell(entry) for entry in found))
    return 0
