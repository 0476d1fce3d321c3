"""The intake over a folder until nothing moves.

    python -m tests.chaos.intake_worker URL FOLDER STATE

Says `begin` when it has been loaded, so that it is killed at its work and not while it starts.
"""

from __future__ import annotations

import sys
import time

from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.gate.running import Settings, run_folder
from xnat_luigi.intake.ledger import DONE, HELD
from xnat_luigi.intake.pace import Pace

PACE = Pace(deadline=20.0, grace=2.0, first=0.05, longest=0.4)


def main(url: str, folder: str, state: str) -> int:
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    settings = Settings(state, project="P1", folder=folder, thumbnails=0)
    try:
        while True:
            outcome = run_folder(connection_for(url), settings, workers=1, pace=PACE)
            stages = {entry.stage for entry in outcome.entries}
            if not outcome.busy and stages <= {DONE, HELD}:
                return 0
            time.sleep(0.2)
    finally:
        close_all()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
