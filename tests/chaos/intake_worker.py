"""One pass of the intake over a folder: `python -m tests.chaos.intake_worker URL FOLDER STATE`."""

from __future__ import annotations

import sys

from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.gate.running import Settings, run_folder
from xnat_luigi.intake.pace import Pace

PACE = Pace(deadline=20.0, grace=2.0, first=0.05, longest=0.4)


def main(url: str, folder: str, state: str) -> int:
    settings = Settings(state, project="P1", folder=folder, thumbnails=0)
    try:
        outcome = run_folder(connection_for(url), settings, workers=1, pace=PACE)
    finally:
        close_all()
    return 0 if outcome.good and not outcome.busy else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
