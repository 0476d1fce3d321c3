"""The stand-in must not be what is measured when clients are.

    python -m tests.benchmarks standin [--full]

Prints a table; exit status 1 where a bound is not kept. Compared with nginx (single files) and
with `zip -0 -r -` (zips) on the same machine, the same bytes, the same client; without these
programs their lines are left out, with the reason. `--full`: ten times the size.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PIECE = 1 << 20
MIB = 1 << 20
SLICE = 526_000
"""Bytes of a DICOM slice of 512 by 512 pixels."""
TIMES = 3


@dataclass
class Row:
    """One line of the table."""

    what: str
    found: str
    other: str
    bound: str
    kept: bool


@contextmanager
def serving(root: Path) -> Iterator[tuple[str, int]]:
    """(address, pid) of a server in a process of its own, as users start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xnat_luigi.cli", "serve", "--root", str(root)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield "http://" + line.split("http://")[1].split()[0], process.pid
    finally:
        process.terminate()
        process.wait(30)


class Client:
    """A connection that is kept, and as little of a client as can be."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)
        self._headers: dict[str, str] = {}
        self._buffer = memoryview(bytearray(PIECE))

    def login(self) -> Client:
        body = "username=admin&password=admin"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/data/services/auth", body, kind)
        session = self._connection.getresponse().read().decode()
        self._headers = {"Cookie": f"JSESSIONID={session}"}
        return self

    def get(self, path: str) -> int:
        """Reads an answer to its end; returns how many bytes it had."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        assert answer.status == 200, (path, answer.status, answer.read())
        size = 0
        while count := answer.readinto(self._buffer):
            size += count
        return size

    def close(self) -> None:
        self._connection.close()


def best(work: Callable[[], object], times: int = TIMES) -> float:
    """Seconds of the quickest of some runs."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return min(found)


def both(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the quickest run of each, in turns: what else the machine does meets both."""
    found = [(best(ours, 1), best(theirs, 1)) for _ in range(2 * TIMES)]
    return min(one for one, _ in found), min(other for _, other in found)


# Listings ---------------------------------------------------------------------------------------


def of_listing(root: Path, count: int) -> Iterator[Row]:
    from xnat_luigi.standin import StandIn

    with StandIn(root) as server:
        for number in range(count):
            server.add_session("MANY", f"S{number // 4}", f"E{number}", date="2024-02-01")
    with serving(root) as (url, _):
        client = Client(url).login()
        seconds = best(lambda: client.get("/data/projects/MANY/experiments?format=json"))
        bound = max(count / 10_000, 0.1)
        yield Row(f"listing of {count} experiments", f"{seconds:.2f} s", "", f"< {bound:.1f} s",
                  seconds < bound)  # fmt: skip
        columns = "ID,label,xsiType,date,subject_ID,subject_label,insert_date"
        path = f"/data/projects/MANY/experiments?format=json&columns={columns}&limit=*"
        seconds = best(lambda: client.get(path))
        yield Row("the same with subjects' labels", f"{seconds:.2f} s", "", f"< {2 * bound:.1f} s",
                  seconds < 2 * bound)  # fmt: skip


# Files ------------------------------------------------------------------------------------------


def fill(root: Path, count: int, size: int) -> tuple[str, Path]:
    """A scan with files; (its address, its folder)."""
    from xnat_luigi.standin import StandIn

    block = os.urandom(size)
    with StandIn(root) as server:
        session = server.add_session("P1", "S1", "E1", scans={"1": "T1"})
        item = server.state.items.by_id(session, "experiment")
        assert item is not None
        scan = server.state.items.below(item, "scan")[0]
        files: dict[str, bytes | Path] = {
            f"{n:05d}.dcm": n.to_bytes(8, "big") + block[8:] for n in range(count)
        }
        resource = server.state.resources.store_files(scan, "DICOM", files)
    return f"/data/experiments/{session}/scans/1/resources/DICOM/files", resource.folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def nginx(folder: Path) -> Iterator[str | None]:
    """The address of an nginx that serves a folder, None where there is none."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as place:
        port = free_port()
        config = Path(place) / "nginx.conf"
        user = "user root;\n" if os.getuid() == 0 else ""
        config.write_text(
            f"{user}daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n"
            "events { worker_connections 256; }\n"
            "http { access_log off; sendfile on; keepalive_requests 1000000;\n"
            f"  client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n"
            f"  fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n"
            f"  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
        )
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 0.1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def rate(count: int, size: int, seconds: float) -> str:
    return f"{count * size / seconds / MIB:.0f} MiB/s"


def of_files(base: str, url: str, folder: Path, count: int, size: int) -> Iterator[Row]:
    """Every file once, one after another and then by eight clients at once."""
    names = sorted(path.name for path in folder.glob("*.dcm"))
    with nginx(folder) as other:
        if other is None:
            print("nginx is not installed: its lines are left out", file=sys.stderr)
        for clients in (1, 8):
            what = f"{count} files of {size // 1000} kB, {clients} client(s)"

            def fetch(address: str, at: str, login: bool, clients: int = clients) -> None:
                fetch_all(address, at, names, clients, login=login)

            if other is None:
                ours = best(lambda: fetch(url, base, True))
                yield Row(what, rate(count, size, ours), "", "", True)
                continue
            ours, theirs = both(lambda: fetch(url, base, True), lambda: fetch(other, "", False))
            yield Row(what, rate(count, size, ours), f"nginx {rate(count, size, theirs)}",
                      ">= 60 % of nginx", theirs / ours >= 0.6)  # fmt: skip


def fetch_all(url: str, base: str, names: list[str], clients: int, *, login: bool) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            client = Client(url)
            if login:
                client.login()
            for name in names[number::clients]:
                client.get(f"{base}/{name}")
            client.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


# Zips -------------------------------------------------------------------------------------------


def of_zips(base: str, url: str, folder: Path, count: int, size: int) -> Iterator[Row]:
    client = Client(url).login()
    what = f"stored zip of {count} files"
    program = shutil.which("zip")

    def fetch() -> None:
        client.get(f"{base}?format=zip")

    if program is None:
        ours = best(fetch)
        print("zip is not installed: its line is left out", file=sys.stderr)
        yield Row(what, rate(count, size, ours), "", "", True)
        return

    def zip_it() -> None:
        command = [program, "-0", "-q", "-r", "-", "."]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
        assert process.stdout is not None
        buffer = memoryview(bytearray(PIECE))
        while process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            pass
        assert process.wait() == 0

    ours, theirs = both(fetch, zip_it)
    yield Row(what, rate(count, size, ours), f"zip -0 {rate(count, size, theirs)}",
              ">= 60 % of zip -0", theirs / ours >= 0.6)  # fmt: skip


# Memory -----------------------------------------------------------------------------------------


def peak(pid: int) -> float:
    """The most memory a process has had, in MiB; forgets it, so that the next peak is a new one."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return int(found.split()[1]) / 1024


def of_memory(folder: Path, small: int, large: int) -> Iterator[Row]:
    """Uploading, listing and fetching one large file against a small one."""
    peaks = []
    for size in (small, large):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            base, _ = fill(Path(place), 1, 8)
            with serving(Path(place)) as (url, pid):
                client = Client(url).login()
                upload(url, f"{base}/large.bin?inbody=true", size)
                client.get(f"{base}/large.bin")
                client.get(f"{base}?format=zip")
                peaks.append(peak(pid))
    found = f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB"
    what = f"peak memory with a file of {small // MIB} and of {large // MIB} MiB"
    kept = max(peaks) < 200 and abs(peaks[1] - peaks[0]) < 10
    yield Row(what, found, "", "< 200 MiB, differs by < 10", kept)


def upload(url: str, path: str, size: int) -> None:
    parts = urlsplit(url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    block = os.urandom(PIECE)
    body = (block for _ in range(size // PIECE))
    login = urllib.request.Request(
        f"{url}/data/services/auth", data=b"username=admin&password=admin", method="POST"
    )
    with urllib.request.urlopen(login, timeout=60) as answer:
        session = answer.read().decode()
    headers = {"Content-Length": str(size), "Cookie": f"JSESSIONID={session}"}
    client.request("PUT", path, body=body, headers=headers)
    sent = client.getresponse()
    assert sent.status == 200, (sent.status, sent.read())


# All --------------------------------------------------------------------------------------------


def of_crowd(url: str, base: str, names: list[str]) -> Iterator[Row]:
    seconds = best(lambda: fetch_all(url, base, names[:200] * 5, 50, login=True), 1)
    yield Row("50 clients at once, 1000 files", f"{seconds:.1f} s, no error", "", "no error", True)


def rows(full: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        yield from of_listing(folder / "many", 10_000)
        count = 1_000 if full else 200
        base, files = fill(folder / "files", count, SLICE)
        with serving(folder / "files") as (url, _):
            yield from of_files(base, url, files, count, SLICE)
            yield from of_zips(base, url, files, count, SLICE)
            yield from of_crowd(url, base, sorted(path.name for path in files.glob("*.dcm")))
        small, large = (128, 1024) if full else (16, 128)
        yield from of_memory(folder, small * MIB, large * MIB)


def main(argv: list[str] | None = None) -> int:
    """Measures, prints the table; 1 when a bound is not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks standin", description=__doc__)
    parser.add_argument("--full", action="store_true", help="at full size")
    arguments = parser.parse_args(argv)
    found = []
    print("| | found | compared with | bound | kept |\n|---|---|---|---|---|", flush=True)
    for row in rows(arguments.full):
        found.append(row)
        kept = "yes" if row.kept else "**no**"
        print(f"| {row.what} | {row.found} | {row.other} | {row.bound} | {kept} |", flush=True)
    return 0 if all(row.kept for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
