"""Models on disk."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from xnat_luigi.schema import cache
from xnat_luigi.schema.reader import read_schemas
from xnat_luigi.schema.records import Model

from .material import own_schemas


@pytest.fixture(scope="module")
def model() -> Model:
    return read_schemas(own_schemas())


def same(one: Model | None, other: Model) -> bool:
    return one is not None and (
        dict(one.classes) == dict(other.classes)
        and list(one.classes) == list(other.classes)
        and one.elements == other.elements
        and one.aliases == other.aliases
        and one.problems == other.problems
    )


def test_a_model_comes_back_as_it_was(tmp_path: Path, model: Model) -> None:
    assert cache.store(tmp_path / "new", "k", model)
    assert same(cache.load(tmp_path / "new", "k"), model)
    assert cache.load(tmp_path / "new", "other") is None
    assert cache.load(None, "k") is None
    assert not cache.store(None, "k", model)


def test_the_name_follows_server_build_and_schemas() -> None:
    build = {"version": "1.8.10", "sha": "a"}
    first = cache.key_of("http://a", build, ["xnat", "xdat"])
    assert first == cache.key_of("http://a", dict(reversed(build.items())), ["xdat", "xnat"])
    others = {
        cache.key_of("http://b", build, ["xnat", "xdat"]),
        cache.key_of("http://a", {**build, "sha": "b"}, ["xnat", "xdat"]),
        cache.key_of("http://a", build, ["xnat", "xdat", "plugin"]),
    }
    assert len(others | {first}) == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "garbage", "shape", "newer"])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, model: Model, damage: str) -> None:
    cache.store(tmp_path, "k", model)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        content = content[:middle]
    elif damage == "empty":
        content = b""
    elif damage == "flipped":
        content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    elif damage == "garbage":
        content = b"\x80\x04\x95" + content
    else:
        body = {"classes": [["too", "short"]]} if damage == "shape" else ["another format"]
        text = json.dumps(body).encode()
        content = cache._digest(text).encode() + b"\n" + text
    path.write_bytes(content)
    assert cache.load(tmp_path, "k") is None
    cache.store(tmp_path, "k", model)
    assert same(cache.load(tmp_path, "k"), model)


def test_an_old_file_is_read_anew(tmp_path: Path, model: Model) -> None:
    cache.store(tmp_path, "k", model)
    later = time.time() + (cache.MOST_DAYS + 1) * 86400
    assert cache.load(tmp_path, "k", now=later) is None


def test_a_folder_that_cannot_be_written_is_logged_and_no_error(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "xnat_luigi.schema"):
        assert not cache.store(tmp_path / "file", "k", model)
    assert "schema cache was not written" in caplog.text


def test_the_environment_chooses_the_folder(tmp_path: Path) -> None:
    assert cache.folder_from({"XNAT_LUIGI_CACHE": str(tmp_path)}) == tmp_path
    assert cache.folder_from({"XNAT_LUIGI_CACHE": "off"}) is None
    assert cache.folder_from({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "xnat-luigi"
    assert cache.folder_from({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/xnat-luigi"


def _store_and_load(folder: str, count: int) -> int:
    model = read_schemas(own_schemas())
    wrong = 0
    for _ in range(count):
        cache.store(Path(folder), "k", model)
        wrong += not same(cache.load(Path(folder), "k"), model)
    return wrong


def test_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        wrong = pool.starmap(_store_and_load, [(str(tmp_path), 8)] * 3)
        pool.close()
        pool.join()
    assert wrong == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["model-k.json"]


def test_nothing_in_a_file_is_executed(tmp_path: Path, model: Model) -> None:
    mark = tmp_path / "ran"
    evil = f"cos\nsystem\n(S'touch {mark}'\ntR."
    path = tmp_path / "model-k.json"
    path.write_text(evil)
    assert cache.load(tmp_path, "k") is None
    path.write_text(f"{cache._digest(evil.encode())}\n{evil}")
    assert cache.load(tmp_path, "k") is None
    assert not os.path.exists(mark)
