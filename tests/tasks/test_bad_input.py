"""What users get wrong, and what servers do to them: one clear error, a status, nothing half."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.standin import Fault, StandIn

BYTES = r"format=zip|\.dcm"
"""Requests for content, as zips or file by file."""

Luigi = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def luigi_command(server: StandIn, tmp_path: Path) -> Luigi:
    """Runs a task of the package as a user does."""

    def call(task: str, *words: str, module: str = "xnat_luigi.tasks", **environ: str) -> Any:
        there = [] if "--server" in words else ["--server", server.url]
        command = [sys.executable, "-m", "luigi", "--module", module, task, *there, *words]
        return subprocess.run(
            [*command, "--local-scheduler"],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "XNAT_LUIGI_ATTEMPTS": "2", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


def files_in(folder: Path) -> list[str]:
    """What lies in a destination, the package's own state left out."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".xnat-luigi" not in path.parts
    )


def sync(tmp_path: Path) -> list[str]:
    return ["--project", "P1", "--dest", str(tmp_path / "dest")]


def said_once(done: subprocess.CompletedProcess[str], text: str) -> bool:
    """Whether the last line of some traceback says it; passwords appear nowhere."""
    assert "a-wrong-word" not in done.stderr + done.stdout
    return any(text in line for line in done.stderr.splitlines() if line.startswith("xnat_luigi."))


def test_an_unknown_host(
    luigi_command: Luigi, add_session: Callable[..., str], tmp_path: Path
) -> None:
    add_session()
    done = luigi_command(
        "xnat.SyncProject", "--server", "http://no-such-host.invalid", *sync(tmp_path)
    )
    assert done.returncode == 5
    assert said_once(done, "no-such-host.invalid")
    assert files_in(tmp_path / "dest") == []
    assert luigi_command("xnat.SyncProject", *sync(tmp_path)).returncode == 0


def test_a_wrong_password_is_tried_once(
    server: StandIn,
    luigi_command: Luigi,
    add_session: Callable[..., str],
    netrc: Path,
    tmp_path: Path,
) -> None:
    add_session()
    right = netrc.read_text()
    netrc.write_text(right.replace("password admin", "password a-wrong-word"))
    done = luigi_command("xnat.SyncProject", *sync(tmp_path))
    assert done.returncode == 5
    assert said_once(done, "admin")
    logins = [record for record in server.requests if record.path.endswith("/services/auth")]
    assert len(logins) == 1
    netrc.write_text(right)
    assert luigi_command("xnat.SyncProject", *sync(tmp_path)).returncode == 0
    assert len(files_in(tmp_path / "dest")) == 2


def test_A3_a_netrc_that_others_can_read_is_refused(
    server: StandIn,
    luigi_command: Luigi,
    add_session: Callable[..., str],
    netrc: Path,
    tmp_path: Path,
) -> None:
    add_session()
    netrc.chmod(0o644)
    done = luigi_command("xnat.SyncProject", *sync(tmp_path))
    assert done.returncode == 5
    assert said_once(done, f"chmod 600 {netrc}")
    assert server.requests == []
    netrc.chmod(0o600)
    assert luigi_command("xnat.SyncProject", *sync(tmp_path)).returncode == 0


def test_a_project_that_is_not_there_is_not_synced(luigi_command: Luigi, tmp_path: Path) -> None:
    done = luigi_command("xnat.SyncProject", *sync(tmp_path))
    assert done.returncode == 5
    assert said_once(done, "P1")
    assert not (tmp_path / "dest").exists() or files_in(tmp_path / "dest") == []


def take_in(folder: Path, tmp_path: Path) -> list[str]:
    words = ["--project", "P1", "--folder", str(folder)]
    return [*words, "--evidence", str(tmp_path / "evidence")]


def test_a_project_that_is_not_there_gets_no_study(
    server: StandIn, luigi_command: Luigi, tmp_path: Path
) -> None:
    make_study(tmp_path / "in", subject="S1", session="S1_MR1", series=series_of(["T1w"]), side=64)
    words = take_in(tmp_path / "in", tmp_path)
    done = luigi_command("TakeIn", *words, module="pipelines.take_in")
    assert done.returncode != 0
    assert "P1" in done.stderr
    assert not any("import" in record.path for record in server.requests), "nothing is sent"
    assert not list(server.root.rglob("*.dcm")), "nothing lies in Unassigned"
    server.add_project("P1")
    done = luigi_command("TakeIn", *words, module="pipelines.take_in")
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_folder_without_dicom(server: StandIn, luigi_command: Luigi, tmp_path: Path) -> None:
    server.add_project("P1")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image here")
    done = luigi_command("TakeIn", *take_in(folder, tmp_path), module="pipelines.take_in")
    assert done.returncode == 5
    assert said_once(done, f"{folder} holds no DICOM study")
    made = make_study(folder, subject="S1", session="S1_MR1", series=series_of(["T1w"]), side=64)
    assert made.files
    done = luigi_command("TakeIn", *take_in(folder, tmp_path), module="pipelines.take_in")
    assert done.returncode == 0, done.stderr[-3000:]


def download(tmp_path: Path) -> list[str]:
    place = ["--experiment", "S1_MR1", "--scan", "1", "--resource", "DICOM"]
    return [*sync(tmp_path), *place]


def test_Z1_a_name_that_leads_outside_is_refused(
    server: StandIn, luigi_command: Luigi, add_session: Callable[..., str], tmp_path: Path
) -> None:
    add_session()
    catalog = next(server.root.rglob("scan_1_catalog.xml"), None) or next(
        path for path in server.root.rglob("*_catalog.xml") if "DICOM" in path.parts
    )
    right = catalog.read_text()
    catalog.write_text(right.replace("S1_MR1-01-0002.dcm", "../../../evil.dcm"))
    for task, words in (("xnat.SyncProject", sync), ("xnat.DownloadResource", download)):
        done = luigi_command(task, *words(tmp_path))
        assert done.returncode in (1, 5)
        assert "evil.dcm" in done.stderr
        assert "refused" in done.stderr
    assert not list(tmp_path.rglob("evil.dcm"))
    assert files_in(tmp_path / "dest") == []
    catalog.write_text(right)
    assert luigi_command("xnat.SyncProject", *sync(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(method="GET", path=BYTES, status=200, html=True), ""),
        (Fault(method="GET", path=BYTES, cut=4000, no_length=True), "4000"),
        (Fault(method="GET", path=BYTES, cut=4000), ""),
        (Fault(method="GET", path=BYTES, flip=5000), "MD5"),
    ],
    ids=["N9-page", "N4-short", "N3-cut", "N11-flipped"],
)
def test_bytes_that_are_not_the_file_never_get_its_name(
    server: StandIn,
    luigi_command: Luigi,
    add_session: Callable[..., str],
    tmp_path: Path,
    fault: Fault,
    reason: str,
) -> None:
    add_session()
    server.faults.add(fault)
    done = luigi_command("xnat.DownloadResource", *download(tmp_path))
    assert done.returncode == 1
    assert reason in done.stderr
    named = files_in(tmp_path / "dest")
    # The flipped byte of the zip is in one of its two files; the other is proven by its digest.
    assert len(named) <= (1 if fault.flip is not None else 0)
    for name in named:
        (there,) = server.root.rglob(name.rpartition("/")[2])
        assert (tmp_path / "dest" / name).read_bytes() == there.read_bytes()
    server.faults.clear()
    done = luigi_command("xnat.DownloadResource", *download(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(files_in(tmp_path / "dest")) == 2
