"""The official client at the same work: `python sync_peer_worker.py URL PROJECT DEST WORKERS`.

Its objects are not made for threads, so each worker is a process with a session of its own.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import xnat

connections: list[object] = []


def connect(url: str) -> None:
    connections.append(xnat.connect(url, user="admin", password="admin", loglevel="ERROR"))


def fetch(words: tuple[str, str, str]) -> None:
    project, label, dest = words
    session = connections[0].projects[project].experiments[label]  # type: ignore[attr-defined]
    session.download_dir(dest, verbose=False)


def main(url: str, project: str, dest: str, workers: str) -> None:
    Path(dest).mkdir(parents=True, exist_ok=True)
    with xnat.connect(url, user="admin", password="admin", loglevel="ERROR") as one:
        labels = sorted(session.label for session in one.projects[project].experiments.values())
    with ProcessPoolExecutor(int(workers), initializer=connect, initargs=(url,)) as pool:
        list(pool.map(fetch, [(project, label, dest) for label in labels]))


if __name__ == "__main__":
    main(*sys.argv[1:])
