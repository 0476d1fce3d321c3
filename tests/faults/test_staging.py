"""Fault rows D1, D2 and D5 of files on disk, on real full, small and read-only file systems."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.staging.manifest import Entry, Manifest, read_manifest, write_manifest
from xnat_luigi.staging.save import save_text
from xnat_luigi.staging.sweep import sweep

WRITE = """
    import json, sys
    from pathlib import Path
    from xnat_luigi.exceptions import XNATIOError
    from xnat_luigi.staging.save import Want, publish, save_bytes, write_part
    target = Path(sys.argv[1])
    try:
        save_bytes(target, (b"x" * 65536 for _ in range(40)))
    except XNATIOError as error:
        print(json.dumps({"errno": error.errno, "said": str(error), "status": error.exit_status}))
    else:
        print(json.dumps({"errno": None}))
"""


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True
    )
    return tried.returncode == 0


needs_mount = pytest.mark.skipif(
    not _may_mount(), reason="mounting a small file system needs root and mount namespaces"
)


def _write_in(mount: str, folder: Path, after: str = "") -> tuple[dict[str, object], str]:
    """Writes 2.5 MiB into a file system mounted for this call; what was said, and what is left."""
    script = folder.parent / "write.py"
    script.write_text(textwrap.dedent(WRITE))
    folder.mkdir()
    command = (
        f'mount -t tmpfs {mount} none "{folder}" && {after or "true"} && '
        f'"{sys.executable}" "{script}" "{folder}/sub/x.dcm"; find "{folder}" -type f -printf "%f "'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said, _, left = done.stdout.partition("\n")
    return json.loads(said), left.strip()


@needs_mount
def test_D1_a_full_disk_is_a_permanent_error_and_leaves_nothing(tmp_path: Path) -> None:
    said, left = _write_in("-o size=1m", tmp_path / "disk")
    assert "the disk is full" in str(said["said"]) and "x.dcm" in str(said["said"])
    assert left == ""


@needs_mount
def test_D1_no_inodes_left(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    said, left = _write_in("-o size=8m,nr_inodes=3", folder, f'touch "{folder}/a" "{folder}/b"')
    assert "the disk is full" in str(said["said"])
    assert left.split() in (["a", "b"], ["b", "a"])


@needs_mount
def test_D1_a_read_only_disk_says_so(tmp_path: Path) -> None:
    said, left = _write_in("-o size=8m,ro", tmp_path / "disk")
    assert "read-only" in str(said["said"])
    assert left == ""


def test_D1_a_limit_on_file_sizes_is_named(tmp_path: Path) -> None:
    script = tmp_path / "write.py"
    script.write_text(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + textwrap.dedent(WRITE)
    )
    folder = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "x")], capture_output=True, text=True
    )
    assert "larger than this process" in json.loads(done.stdout)["said"]
    assert os.listdir(folder) == []


def test_D2_a_part_of_a_killed_process_is_swept_and_its_name_absent(tmp_path: Path) -> None:
    script = tmp_path / "die.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from xnat_luigi.staging.save import Part, Want
        part = Part(Want(Path(sys.argv[1]) / "x.dcm"))
        part.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
        """)
    )
    folder = tmp_path / "out"
    killed = subprocess.run([sys.executable, str(script), str(folder)])
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(folder)) == 1
    assert len(sweep(folder)) == 1
    assert os.listdir(folder) == []


def _manifest(path: Path) -> Manifest:
    manifest = Manifest({"project": "P1"}, (Entry("P1/x", 1, "0" * 32),), {"stamp": "2"})
    write_manifest(path, manifest)
    return manifest


def test_D5_a_cut_manifest_counts_as_absent_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    manifest = _manifest(path)
    whole = path.read_text()
    assert read_manifest(path) == manifest
    for length in range(len(whole) - 2):
        save_text(path, whole[:length], sync=False)
        assert read_manifest(path) is None, length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 500,
        "[]",
        "null",
        "{}",
        '{"format": 0}',
        '{"format": "1", "files": [], "origin": {}, "stamps": {}}',
        '{"format": 1, "files": {}, "origin": {}, "stamps": {}}',
        '{"format": 1, "files": [[1, 2, 3]], "origin": {}, "stamps": {}}',
        '{"format": 1, "files": [["/etc/passwd", 2, "x"]], "origin": {}, "stamps": {}}',
        '{"format": 1, "files": [["a/../../x", 2, "x"]], "origin": {}, "stamps": {}}',
        '{"format": 1, "files": [["a"]], "origin": {}, "stamps": {}}',
    ],
)
def test_D5_garbage_counts_as_absent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    save_text(path, text)
    assert read_manifest(path) is None


def test_D5_a_newer_manifest_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    _manifest(path)
    document = json.loads(path.read_text())
    save_text(path, json.dumps({**document, "format": 99}))
    with pytest.raises(XNATIntegrityError, match=r"newer version.*update"):
        read_manifest(path)
