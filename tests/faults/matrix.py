"""Which test proves which row of the fault matrix: writes README.md of this folder.

    python -m tests.faults.matrix            writes the page
    python -m tests.faults.matrix --check    says which rows have no test; exit status 1 if any

The rows are read from names of tests: ``test_N3_...`` proves N3. ``A1_3`` is a section of the wire
contract and no row.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"

ROWS: dict[str, tuple[str, str]] = {
    "N1": ("refused, unknown host, connect hangs", "tries, then error with the host"),
    "N2": ("no answer; body stalls; drips", "gap or rate limit ends it; GET again"),
    "N3": ("reset, cut, cut chunk", "again; final name absent"),
    "N4": ("short without length; too long", "size, digest or bound catches it"),
    "N5": ("idle connection closed", "one quiet retry"),
    "N6": ("502 to 504 in a burst; 500", "waits grow, at most 5; one retry, POST none"),
    "N7": ("Retry-After 2, a date, a day", "obeyed, obeyed, fails at once"),
    "N8": ("504 while the job runs", "polled, no second order"),
    "N9": ("login page or error page as file", "never stored; real HTML with its digest is"),
    "N10": ("gzip; Range ignored or wrong; 416", "identity; started anew"),
    "N11": ("file changed between tries; flipped byte", "anew; twice wrong: integrity error"),
    "N12": ("catalog wrong, without digests, damaged", "error naming both; «unverified» noted"),
    "N13": ("redirect elsewhere, to http, no Location", "refused before credentials leave"),
    "N14": ("bad certificate", "SSL error; `verify=False` warns once"),
    "N15": ("huge or moving listing", "bounded memory"),
    "A1": ("session expires (401, 404, empty or shorter list)", "one new login, asked again"),
    "A2": ("wrong or expired password", "errors of their own, one try"),
    "A3": ("netrc open to others, broken", "refused, says what to do"),
    "A4": ("secrets in logs, repr, tracebacks", "nowhere"),
    "A5": ("heartbeat fails or hangs", "logged, lives, no block at exit"),
    "A6": ("fork with open session", "no foreign answers"),
    "A7": ("two servers at once", "kept apart"),
    "D1": ("disk full, quota, inodes, read-only", "permanent error, part gone, final absent"),
    "D2": ("killed at any step", "absent or whole; a rerun needs no help; parts swept"),
    "D3": ("SIGTERM, Ctrl-C", "part gone, lock free, logged out"),
    "D4": ("staged file damaged or missing", "found; that one fetched again"),
    "D5": ("manifest cut, garbage, newer", "absent, absent, refused"),
    "D6": ("unsafe, too long, clashing names; planted symlink", "refused before writing"),
    "L1": ("two want one resource", "one fetches, the other finds it"),
    "L2": ("holder killed; hangs", "free at once; the time-out names the owner"),
    "L3": ("locking is a no-op", "right result, double work"),
    "Z1": ("zip: traversal, symlink, duplicates, encrypted", "nothing of it written"),
    "Z2": ("bomb, lying sizes", "stopped at the limit"),
    "Z3": ("CRC, cut, junk; files missing", "integrity error; missing ones fetched"),
    "X1": ("DOCTYPE, entities, deep XML", "refused within a second"),
    "X2": ("quotes, keywords, unicode in schemas", "data only, nothing runs"),
    "X3": ("unknown base, cycle, clash, charset", "error naming the type, or built"),
    "P1": ("import worked, answer lost or empty", "found, not imported twice"),
    "P2": ("row stuck", "deadline with the last status"),
    "P3": ("conflict as 400, 409 or 500", "one error with the server's log"),
    "P4": ("archived or removed by others; late visibility", "experiment there = done; polled"),
    "P5": ("refresh did nothing", "verified by listing"),
    "T1": ("outage in `exists()`", "scheduling error, nothing run"),
    "T2": ("output incomplete after `run()`", "failed, exit status not 0"),
    "T3": ("worker killed midway", "rerun completes, no duplicate"),
    "T4": ("odd labels and file names", "round-trip, or refused before sending; readable by ID"),
}
_LOGINS = ("faults/", "connection/", "session/", "tasks/")
_TEST = re.compile(r"^\s*(?:async )?def test_(\w+)", re.M)
_ID = re.compile(r"(?:^|_)([NADLZXPT]\d{1,2})(?=_(?!\d)|$)")


def find_tests() -> dict[str, list[str]]:
    """The modules with tests of each row, those of this folder first."""
    found: dict[str, set[str]] = {}
    for path in sorted(HERE.parent.rglob("test_*.py")):
        name = path.relative_to(HERE.parent).as_posix()
        for words in _TEST.findall(path.read_text(encoding="utf-8")):
            for row in _ID.findall(words):
                if row[0] != "A" or name.startswith(_LOGINS):  # elsewhere A 2 is a section
                    found.setdefault(row, set()).add(name)
    return {
        row: sorted(names, key=lambda name: (not name.startswith("faults/"), name))
        for row, names in found.items()
    }


def page() -> str:
    """The page as it should be."""
    tests = find_tests()
    lines = [
        "# What may go wrong and must not hurt",
        "",
        "Each row is a promise; a mark means that tests prove it, by the number in their names",
        "(`pytest -k N3_`). Written by `python -m tests.faults.matrix`.",
        "",
        "| | | fault | expected | tests |",
        "|---|---|---|---|---|",
    ]
    for row, (fault, expected) in ROWS.items():
        where = tests.get(row, [])
        names = ", ".join(f"`{name}`" for name in where[:3]) + (", ..." if len(where) > 3 else "")
        lines.append(f"| {'✓' if where else ' '} | {row} | {fault} | {expected} | {names} |")
    return "\n".join(lines) + "\n"


def missing() -> list[str]:
    """Rows without a test."""
    tests = find_tests()
    return [row for row in ROWS if row not in tests]


def main() -> int:
    if "--check" in sys.argv[1:]:
        print("\n".join(missing()))
        return 1 if missing() else 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
