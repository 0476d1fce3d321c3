"""Classes asked for by several threads at once."""

from __future__ import annotations

import sys
import threading

from xnat_luigi.classes import ClassModel
from xnat_luigi.schema.reader import read_schemas

from .material import own_schemas


def test_threads_get_one_and_the_same_class() -> None:
    model = read_schemas(own_schemas())
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            classes = ClassModel(model)
            start = threading.Barrier(8)
            found: list[tuple[type, ...]] = []

            def ask(
                classes: ClassModel = classes,
                start: threading.Barrier = start,
                found: list[tuple[type, ...]] = found,
            ) -> None:
                start.wait()
                found.append((*classes.MrScanData.__mro__, classes.FileData, *classes.build_all()))

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(found) == 8
            assert len(set(found)) == 1
    finally:
        sys.setswitchinterval(before)
