"""An outside witness: what our tasks have archived, the official client lists and downloads."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.material import Series, make_study
from xnat_luigi.standin import StandIn
from xnat_luigi.tasks import ArchiveSession
from xnat_luigi.testing import logged_in, run_task

from .conftest import Peer


def test_the_official_client_finds_what_our_tasks_archived(
    standin: StandIn, peer: Peer, tmp_path: Path
) -> None:
    standin.add_project("P1")
    sent: dict[str, dict[str, str]] = {}
    tasks = []
    for label in ("S001_MR1", "S001_MR2"):
        folder = tmp_path / label
        series = (Series("T1w", 4), Series("T2w", 4))
        study = make_study(folder, subject="S001", session=label, series=series, side=64)
        sent[label] = {
            path.name: hashlib.md5(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }
        tasks.append(
            ArchiveSession(
                server=standin.url,
                project="P1",
                folder=str(folder),
                study=study.uid,
                subject="S001",
                session=label,
                evidence=str(tmp_path / "evidence"),
            )
        )
    with logged_in(standin):
        run_task(*tasks).check()
    found = peer("xnatpy_read", "witness", project="P1")
    assert set(found["experiments"]) == set(sent)
    for label, digests in sent.items():
        seen = found["experiments"][label]
        assert seen["subject"] == "S001"
        assert sorted(seen["files"].values()) == sorted(digests.values())
