"""One measurement of a client in a fresh interpreter; prints one JSON object.

Runs under our interpreter and under that of the official client, so it imports nothing of either at
the top. Called by client.py:  client_worker.py MEASURE PACKAGE URL [COUNT]
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import logging
import os
import re
import sys
import tempfile
import time
import types
from typing import Any

IMPORTED = 0.0
"""seconds that importing the package took"""


def connect(package: types.ModuleType, url: str) -> Any:
    return package.connect(url, user="admin", password="admin")


def rss() -> int:
    """Memory of this process in KiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def measure_connect(package: types.ModuleType, url: str, count: int) -> dict[str, Any]:
    """Seconds of `count` connects, each with the model ready to use.

    Their package has loaded all of its modules by then, ours loads most with the first connect:
    they are loaded before the clock starts, and what it took is told apart.
    """
    begin = time.perf_counter()
    if package.__name__ == "xnat_luigi":
        for name in ("_connect", "session", "classes", "schema.loading", "schema.reader"):
            importlib.import_module(f"xnat_luigi.{name}")
    loading = time.perf_counter() - begin + IMPORTED
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        session = connect(package, url)
        assert session.classes.MrSessionData is not None
        times.append(time.perf_counter() - begin)
        session.disconnect()
    return {"seconds": times, "loading": loading}


def measure_walk(package: types.ModuleType, url: str, count: int) -> dict[str, Any]:
    """Label and type of each session and scan, and the labels of the resources of all scans."""
    session = connect(package, url)
    begin = time.perf_counter()
    seen = 0
    for experiment in session.projects["WALK"].experiments.values():
        assert experiment.label
        for scan in experiment.scans.values():
            assert scan.type
            seen += len([resource.label for resource in scan.resources.values()])
    seconds = time.perf_counter() - begin
    session.disconnect()
    return {"seconds": [seconds], "seen": seen}


def measure_memory(package: types.ModuleType, url: str, count: int) -> dict[str, Any]:
    """Growth in KiB over `count` cycles of connecting and disconnecting, after a tenth of them."""

    def cycle() -> None:
        session = connect(package, url)
        assert session.classes.MrSessionData is not None
        session.disconnect()

    for _ in range(max(1, count // 10)):
        cycle()
    gc.collect()
    before = rss()
    for _ in range(count):
        cycle()
    gc.collect()
    return {"kib": rss() - before, "cycles": count}


def measure_classes(package: types.ModuleType, url: str, count: int) -> dict[str, Any]:
    """CPU seconds of making all classes from the schemas in a folder."""
    documents = {}
    for name in ("xdat", "xnat"):
        with open(os.path.join(url, f"{name}.xsd"), "rb") as file:
            documents[name] = file.read()
    build = build_ours if package.__name__ == "xnat_luigi" else build_theirs
    times = []
    for _ in range(count):
        begin = time.process_time()
        made = build(documents)
        times.append(time.process_time() - begin)
    return {"seconds": times, "classes": made}


def build_ours(documents: dict[str, bytes]) -> int:
    classes = importlib.import_module("xnat_luigi.classes")
    reader = importlib.import_module("xnat_luigi.schema.reader")
    return len(classes.ClassModel(reader.read_schemas(documents)).build_all())


def build_theirs(documents: dict[str, bytes]) -> int:
    """What their connect does with the text of the schemas: a Python file, imported."""
    convert = importlib.import_module("xnat.convert_xsd")
    logger: Any = logging.getLogger("theirs")
    logger.verbose = logger.debug
    parser = convert.SchemaParser(logger=logger)
    for name, content in documents.items():
        text = re.sub(r"<\?xml[^>]*\?>", "", content.decode("windows-1252"), count=1)
        parser.parse_schema_xmlstring(text, schema_uri=name)
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        parser.write(code_file=file)
    try:
        spec = importlib.util.spec_from_file_location("theirs_generated", file.name)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        os.remove(file.name)
    return len(module.XNAT_CLASS_LOOKUP) or len(vars(module))


MEASURES = {
    "connect": measure_connect,
    "walk": measure_walk,
    "memory": measure_memory,
    "classes": measure_classes,
}


def main() -> int:
    measure, name, url, *rest = sys.argv[1:]
    global IMPORTED
    begin = time.perf_counter()
    package = importlib.import_module(name)
    IMPORTED = time.perf_counter() - begin
    result = MEASURES[measure](package, url, int(rest[0]) if rest else 1)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
