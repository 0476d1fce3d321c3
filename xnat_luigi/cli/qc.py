"""`xnat-luigi qc`: what a rule file asks for, what it says of a folder, and a human's word."""

from __future__ import annotations

import argparse
import json

from ..exceptions import XNATValueError

NAME = "qc"
HELP = """Rules, verdicts and decisions about studies that wait.

    xnat-luigi qc explain rules.toml
    xnat-luigi qc check FOLDER --rules rules.toml [--naming naming.toml] [--report DIR] [--json]
    xnat-luigi qc approve SESSION --reason "the gap is the patient's pacemaker"
    xnat-luigi qc reject SESSION --reason "wrong patient"

Exit status of `check`: 0 every study passes, 1 one of them warns or fails. A decision is kept in
the ledger below --state with who, when and why; the next run of the intake goes on with it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The four sub-commands."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    explain = verbs.add_parser("explain", help="a rule file in plain sentences")
    explain.add_argument("rules", help="TOML file with QC rules")
    check = verbs.add_parser("check", help="what the rules say of a folder; sends nothing")
    check.add_argument("folder", help="folder with DICOM files, any depth")
    check.add_argument("--rules", default="", help="TOML file; the first gate alone without")
    check.add_argument(
        "--naming", default="", help="TOML file: what studies are called; else as in the header"
    )
    check.add_argument("--report", default="", help="folder for pages and their index")
    check.add_argument("--json", action="store_true", help="whole verdicts, for machines")
    for name in ("approve", "reject"):
        verb = verbs.add_parser(name, help=f"{name} a study that is held")
        verb.add_argument("session", help="session label or StudyInstanceUID")
        verb.add_argument("--reason", required=True, help="why; it is kept")
        verb.add_argument("--who", default="", help="who decided, if not the user of this machine")
        verb.add_argument("--state", default="intake-state", help="folder of the ledger")
        verb.add_argument("--server", default="", help="only this server")
        verb.add_argument("--project", default="", help="only this project")


def run(arguments: argparse.Namespace) -> int:
    """Does what the sub-command says."""
    verbs = {"explain": _explain, "check": _check, "approve": _decide, "reject": _decide}
    return verbs[arguments.verb](arguments)


def _explain(arguments: argparse.Namespace) -> int:
    from ..qc.explain import explain
    from ..qc.rules import read_rules

    print(explain(read_rules(arguments.rules)), end="")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from ..dicom import read_header
    from ..gate.judging import judge_headers
    from ..intake.naming import fixed_names, name_all, read_naming
    from ..intake.studies import read_folder
    from ..qc.report import write_report
    from ..qc.rules import read_rules

    rules = read_rules(arguments.rules) if arguments.rules else None
    # Without a file of rules the labels are those that `intake run` gives; the project is not used.
    naming = (
        read_naming(arguments.naming)
        if arguments.naming
        else (fixed_names("P", "{PatientName}", "{PatientID}"),)
    )
    fields = [*(rules.fields if rules else ()), *(word for one in naming for word in one.fields)]
    found = read_folder(arguments.folder, fields=tuple(dict.fromkeys(fields)))
    if not found.studies:
        raise XNATValueError(f"{arguments.folder} holds no DICOM study")
    named, unnamed = name_all(found, naming)
    keys = {study.uid: key for study, key in named}
    why = {study.uid: reason for study, reason in unnamed}
    verdicts = {}
    for study in found:
        headers = [*study.files, *(read_header(path) for path in study.odd)]
        key = keys.get(study.uid)
        material, verdict = judge_headers(
            headers,
            rules,
            subject=key.subject if key else "",
            session=key.session if key else "",
            study_uid=study.uid,
        )
        verdicts[study.uid] = verdict
        if arguments.report:
            page = write_report(arguments.report, material, verdict, rules)
        if not arguments.json:
            print(f"{study.uid} {study.patient_id!r}: {verdict.status}")
            for reason in verdict.reasons:
                print(f"  {reason}")
            if key is None:
                print(f"  the intake would refuse it: {why[study.uid]}")
            if arguments.report:
                print(f"  page: {page}")
    if arguments.json:
        document = {uid: verdict.to_dict() for uid, verdict in verdicts.items()}
        print(json.dumps(document, ensure_ascii=False, indent=1))
    return 0 if all(verdict.passed for verdict in verdicts.values()) else 1


def _decide(arguments: argparse.Namespace) -> int:
    from ..intake.decisions import decide
    from ..intake.ledger import Ledger

    ledger = Ledger(arguments.state)
    found = ledger.find(arguments.session, server=arguments.server, project=arguments.project)
    if not found:
        raise XNATValueError(
            f"the ledger below {arguments.state} knows no {arguments.session}; `intake status` "
            "lists all"
        )
    if len(found) > 1:
        known = "; ".join(str(entry.key) for entry in found)
        raise XNATValueError(
            f"{arguments.session} names {len(found)} studies in the ledger below "
            f"{arguments.state} ({known}): say one, by its UID or with --project"
        )
    entry = decide(ledger, found[0], arguments.verb, arguments.reason, who=arguments.who)
    print(f"{entry.key.project}/{entry.key.session} {entry.stage} {entry.detail}")
    return 0
