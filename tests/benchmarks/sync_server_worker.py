"""A stand-in with a project of real DICOM, for the benchmarks: prints its address and waits.

    python -m tests.benchmarks.sync_server_worker SESSIONS FILES BYTES

Each file is the MR image inside pydicom, its pixels repeated to the size asked for and its UIDs its
own, in two scans for each session. A line on standard input ends it; `touch N` makes one file of
session N another one, of another size, and `requests` prints how many there were and forgets them.
"""

from __future__ import annotations

import io
import json
import sys

import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from xnat_luigi.standin import StandIn

PROJECT = "BENCH"


def image(words: str, size: int) -> bytes:
    """A readable DICOM file of about that many bytes."""
    path = get_testdata_file("MR_small.dcm")
    assert isinstance(path, str)
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=[words]
    )
    dataset.PatientID = words
    rows = max(1, (size - 2000) // (2 * dataset.Columns))
    pixels = dataset.PixelData
    dataset.PixelData = (pixels * (rows * 2 * dataset.Columns // len(pixels) + 1))[
        : rows * 2 * dataset.Columns
    ]
    dataset.Rows = rows
    raw = io.BytesIO()
    dataset.save_as(raw)
    return raw.getvalue()


def fill(server: StandIn, sessions: int, files: int, size: int) -> int:
    """Returns the bytes of all files."""
    total = 0
    for number in range(sessions):
        scans = {}
        for scan in ("1", "2"):
            half = range(files // 2) if scan == "1" else range(files // 2, files)
            content = {f"{n}.dcm": image(f"{number}.{scan}.{n}", size) for n in half}
            total += sum(map(len, content.values()))
            scans[scan] = {"type": f"T{scan}", "resources": {"DICOM": content}}
        server.add_session(PROJECT, f"S{number // 2:05}", f"E{number:05}", scans=scans)
    return total


def main(sessions: int, files: int, size: int) -> None:
    with StandIn() as server:
        total = fill(server, sessions, files, size)
        print(json.dumps({"url": server.url, "bytes": total}), flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[:1] == ["touch"]:
                number = int(words[1])
                data = image("another", size + 20_000)
                scans = {"1": {"resources": {"DICOM": {"0.dcm": data}}}}
                server.add_session(PROJECT, f"S{number // 2:05}", f"E{number:05}", scans=scans)
                print(len(data), flush=True)
            elif words[:1] == ["requests"]:
                found = server.requests
                sent = sum(one.bytes_out for one in found)
                server.log.clear()
                print(json.dumps({"requests": len(found), "bytes": sent}), flush=True)
            else:
                return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
