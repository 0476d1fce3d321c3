"""One sync as a program: `python -m tests.chaos.worker URL PROJECT DEST WORKERS [PROCESSES]`.

Says `begin` on standard error when it has been loaded, and prints the report as JSON.
The netrc comes from the environment, as for every program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import apply


def main(url: str, project: str, dest: str, workers: str, processes: str = "1") -> int:
    sys.stderr.write("begin\n")
    sys.stderr.flush()
    conn = connection_for(url)
    try:
        todo = plan.make(inventory.take(conn, project), Path(dest))
        report = apply(conn, todo, workers=int(workers), processes=int(processes))
    finally:
        close_all()
    sys.stdout.write(report.to_json())
    return report.exit_status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
