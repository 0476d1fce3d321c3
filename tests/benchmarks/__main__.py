"""All measurements, one after the other: ``python -m tests.benchmarks [NAME...] [OPTIONS]``.

Each module of this folder that offers ``main(argv)`` is one of them; its sizes are small unless its
own options say otherwise. With one name, options behind it go to that module. Exit status 1 where
one of them says that a bound is not kept.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
Main = Callable[[list[str]], int | None]


def find() -> dict[str, Main]:
    """The measurements by name; helpers that run under another interpreter offer no ``main``."""
    return {
        path.stem: functools.partial(_start, path.stem)
        for path in sorted(HERE.glob("[!_]*.py"))
        if re.search(r"^def main\(argv", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def _start(name: str, argv: list[str]) -> int | None:
    main: Main = importlib.import_module(f"{__package__}.{name}").main
    return main(argv)


def run(argv: Sequence[str]) -> int:
    """Run what is named, or everything; the highest exit status."""
    known = find()
    names = [word for word in argv if not word.startswith("-") and word in known]
    options = list(argv[1:]) if len(names) == 1 and argv[0] == names[0] else []
    strange = [word for word in argv if word not in names and word not in options]
    if strange:
        print(f"not known: {' '.join(strange)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    worst = 0
    for name in names or known:
        print(f"\n## {name}\n", flush=True)
        begin = time.perf_counter()
        status = known[name](options) or 0
        print(f"\n({name}: {time.perf_counter() - begin:.0f} s, exit status {status})", flush=True)
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
