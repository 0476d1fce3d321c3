"""A stand-in that misbehaves by dice: `python -m tests.chaos.intake_server ROOT PORT SEED`.

Says `ready PORT` when it listens, and runs until it is killed. SEED 0 behaves. What a killed
server left locked is reset before it listens, as an administrator would after a crash.
"""

from __future__ import annotations

import random
import sys
import threading
import time

from xnat_luigi.standin import StandIn
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault
from xnat_luigi.standin.services import Services

FAULTS: tuple[tuple[str, str, float, dict[str, object]], ...] = (
    ("POST", "/services/import", 0.10, {"drop": True}),
    ("POST", "/services/import", 0.05, {"rewrite_status": 504}),
    ("POST", "/services/import", 0.05, {"reset": True}),
    ("POST", "/services/import", 0.03, {"replace": ""}),
    ("POST", "/services/archive", 0.15, {"drop": True}),
    ("POST", "/services/archive", 0.10, {"rewrite_status": 504}),
    ("POST", "/services/archive", 0.05, {"rewrite_status": 409}),
    ("POST", "/services/archive", 0.05, {"close": True}),
    ("POST", "action=build", 0.05, {"drop": True}),
    ("PUT", "/assessors/", 0.05, {"drop": True}),
    ("PUT", "/files", 0.05, {"rewrite_status": 502}),
    ("GET", "/data/", 0.01, {"status": 503}),
    ("GET", "/data/", 0.01, {"reset": True}),
    ("GET", "/data/", 0.005, {"cut": 40}),
)


def reset_locked(server: StandIn) -> None:
    """No job survives a kill, so every lock is a stale one."""
    services = server.state.part(Services)
    for row in services.prearchive.all():
        if row.status not in ("RECEIVING", "READY", "CONFLICT", "ERROR"):
            services.work.reset(row)


def misbehave(server: StandIn, dice: random.Random) -> None:
    """Turns the knobs of the archive now and then."""
    knobs = server.state.part(Services).archiver.knobs
    while True:
        knobs.archive_delay = dice.choice((0.0, 0.0, 0.1, 0.8))
        knobs.linger = dice.choice((0.0, 0.0, 0.2))
        knobs.visibility_delay = dice.choice((0.0, 0.0, 0.0, 0.5))
        if dice.random() < 0.3:
            knobs.failure = Failure(dice.choice(("CONFLICT", "ERROR")), "chaos says no")
        server.preferences["archiveTimeout"] = dice.choice((600, 600, 0.3))
        time.sleep(dice.uniform(0.2, 0.8))


def main(root: str, port: str, seed: str) -> None:
    server = StandIn(root, int(port), users={"admin": "admin"})
    reset_locked(server)
    dice = random.Random(int(seed))
    if int(seed):
        for method, path, probability, what in FAULTS:
            rule = {"method": method, "path": path, "probability": probability, **what}
            server.faults.add(Fault.from_dict({**rule, "seed": dice.randrange(1 << 30)}))
        threading.Thread(target=misbehave, args=(server, dice), daemon=True).start()
    server.start()
    sys.stdout.write(f"ready {server.port}\n")
    sys.stdout.flush()
    server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
