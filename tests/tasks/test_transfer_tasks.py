"""Down to disk, up to the server, and catalogs that are right: the tasks that move bytes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi
import pytest

from xnat_luigi.exceptions import XNATForbiddenError, XNATUploadError, XNATValueError
from xnat_luigi.standin import Fault, StandIn
from xnat_luigi.targets.resource import FileTarget, ResourceTarget
from xnat_luigi.tasks import (
    DownloadResource,
    ExperimentReady,
    RefreshCatalog,
    SetFields,
    SyncExperiment,
    SyncOrder,
    SyncProject,
    UploadResource,
)

Run = Callable[..., Any]


def content_requests(server: StandIn, since: int = 0) -> int:
    asked = server.requests[since:]
    return sum(1 for r in asked if "format=zip" in r.query or r.path.endswith(".dcm"))


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".xnat-luigi" not in path.parts
    }


def drop_digests(server: StandIn) -> None:
    """As if the site had them switched off when the files came."""
    for catalog in server.root.rglob("*_catalog.xml"):
        catalog.write_text(re.sub(r' digest="[0-9a-f]*"', "", catalog.read_text()))


@pytest.fixture
def download(
    server: StandIn, add_session: Callable[..., str], tmp_path: Path
) -> Callable[..., DownloadResource]:
    add_session(series=2)

    def make(**more: Any) -> DownloadResource:
        luigi.Task.clear_instance_cache()
        words = {"experiment": "S1_MR1", "scan": "1", "resource": "DICOM", **more}
        return DownloadResource(
            server=server.url, project="P1", dest=str(tmp_path / "dest"), **words
        )

    return make


class TestDownload:
    def test_it_fetches_once_and_what_changed(
        self, server: StandIn, download: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        assert not download().complete()
        assert run(download()).scheduling_succeeded
        first = files_in(tmp_path / "dest")
        assert len(first) == 2
        seen = len(server.requests)
        run(download())
        assert content_requests(server, seen) == 0
        place = {"experiment": "S1_MR1", "scan": "1"}
        with FileTarget(server.url, "P1", "DICOM", path="S1_MR1-01-0002.dcm", **place).open(
            "wb"
        ) as file:
            file.write(b"another content")
        assert not download().complete()
        stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "dest").rglob("*1.dcm")}
        run(download())
        second = files_in(tmp_path / "dest")
        assert [name for name in first if first[name] != second[name]] == [
            name for name in first if name.endswith("0002.dcm")
        ]
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())

    def test_D4_a_damaged_file_is_fetched_again(
        self, download: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        run(download())
        first = files_in(tmp_path / "dest")
        victim = next((tmp_path / "dest").rglob("*0001.dcm"))
        os.truncate(victim, 100)
        assert not download().complete()
        run(download())
        assert files_in(tmp_path / "dest") == first

    def test_it_lies_where_a_sync_puts_it(
        self, server: StandIn, download: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        run(download())
        other = tmp_path / "synced"
        run(SyncProject(server=server.url, project="P1", dest=str(other)))
        mine, all_of_it = files_in(tmp_path / "dest"), files_in(other)
        assert mine.items() < all_of_it.items()

    @pytest.mark.parametrize("layout", ["flat", "{session}/{resource}/{path}"])
    def test_another_layout_is_another_task(
        self, download: Callable[..., Any], run: Run, tmp_path: Path, layout: str
    ) -> None:
        task = download(layout=layout)
        assert task.task_id != download().task_id
        run(task)
        assert download(layout=layout).complete()
        assert len(files_in(tmp_path / "dest")) == 2

    def test_what_is_absent_is_a_failure(self, download: Callable[..., Any], run: Run) -> None:
        for place in ({"resource": "NOPE"}, {"scan": "9"}, {"experiment": "S9_MR1"}):
            task = download(**place)
            assert task.complete() is False
            assert run(task).status.name == "FAILED"

    def test_other_places_have_resources_too(
        self, server: StandIn, download: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        server.add_session("P1", "S1", "S1_MR1", resources={"NOTES": {"n.txt": b"session"}})
        server.add_assessor("P1", "S1_MR1", "S1_QC", resources={"OUT": {"o.txt": b"assessor"}})
        server.add_project("P2", resources={"PROTOCOL": {"p.txt": b"project"}})
        server.add_subject("P1", "S1", resources={"CONSENT": {"c.txt": b"subject"}})
        run(
            download(resource="NOTES", scan=""),
            download(resource="OUT", scan="", assessor="S1_QC"),
            download(resource="CONSENT", scan="", experiment="", subject="S1"),
        )
        luigi.Task.clear_instance_cache()
        run(DownloadResource(server.url, "P2", dest=str(tmp_path / "dest"), resource="PROTOCOL"))
        assert set(files_in(tmp_path / "dest").values()) == {
            b"session",
            b"assessor",
            b"project",
            b"subject",
        }

    def test_without_digests_the_policy_decides(
        self, server: StandIn, download: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        drop_digests(server)
        assert run(download(digests="fail")).status.name == "FAILED"
        assert files_in(tmp_path / "dest") == {}
        run(download(digests="size"))
        assert download().complete()
        run(RefreshCatalog(server=server.url, project="P1", experiment="S1_MR1"))
        assert download(digests="fail").complete(), "the digests are those of the files on disk"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that uploads get wrong: empty, in sub-folders, oddly named, a lone gzip."""
    source = tmp_path / "source"
    (source / "sub" / "deeper").mkdir(parents=True)
    (source / "empty.txt").touch()
    (source / "image.nii.gz").write_bytes(b"\x1f\x8b not really gzip")
    (source / "sub" / "a b.txt").write_bytes(b"blank")
    (source / "sub" / "deeper" / "50%#größe+.txt").write_bytes(b"odd")
    return source


@pytest.fixture
def upload(
    server: StandIn, add_session: Callable[..., str], folder: Path
) -> Callable[..., UploadResource]:
    add_session()

    def make(**more: Any) -> UploadResource:
        luigi.Task.clear_instance_cache()
        words = {"experiment": "S1_MR1", "resource": "UP", "source": str(folder), **more}
        return UploadResource(server=server.url, project="P1", **words)

    return make


class TestUpload:
    def test_everything_arrives_as_it_is(
        self, server: StandIn, upload: Callable[..., Any], run: Run, folder: Path, tmp_path: Path
    ) -> None:
        assert not upload().complete()
        run(upload())
        assert upload().complete()
        words = {"server": server.url, "project": "P1", "experiment": "S1_MR1", "resource": "UP"}
        run(DownloadResource(dest=str(tmp_path / "d"), layout="{resource}/{path}", **words))
        arrived = files_in(tmp_path / "d" / "UP")
        record = json.loads(arrived.pop("provenance.json"))
        assert arrived == files_in(folder)
        assert record["state"] == "complete"
        assert {path for path, _, _ in record["outputs"]["files"]} == set(arrived)

    def test_a_lone_gzip_stays_one(
        self, upload: Callable[..., Any], run: Run, tmp_path: Path
    ) -> None:
        lone = tmp_path / "lone"
        lone.mkdir()
        (lone / "image.nii.gz").write_bytes(b"\x1f\x8b not really gzip")
        run(upload(source=str(lone)))
        assert upload(source=str(lone)).complete()
        names = sorted(file.path for file in upload(source=str(lone)).output().files())
        assert names == ["image.nii.gz", "provenance.json"]

    def test_a_half_upload_is_completed(
        self, server: StandIn, upload: Callable[..., Any], run: Run, folder: Path
    ) -> None:
        part = FileTarget(server.url, "P1", "UP", experiment="S1_MR1", path="sub/a b.txt")
        with part.open("wb") as file:
            file.write(b"blank")
        assert not upload().complete()
        run(upload())
        assert upload().complete()

    def test_a_killed_upload_is_seen(
        self, server: StandIn, upload: Callable[..., Any], run: Run
    ) -> None:
        server.faults.add(Fault(method="PUT", path="/UP/files/upload.zip", status=400))
        run(upload())
        server.faults.clear()
        assert [file.path for file in upload().output().files()] == ["provenance.json"]
        assert upload().complete() is False
        run(upload())
        assert upload().complete() is True

    def test_it_stays_complete_when_the_folder_is_gone(
        self, upload: Callable[..., Any], run: Run, folder: Path
    ) -> None:
        run(upload())
        shutil.rmtree(folder)
        assert upload().complete() is True
        with pytest.raises(XNATValueError, match="is no folder"):
            upload(resource="OTHER").run()

    def test_a_changed_folder_is_another_upload(
        self, upload: Callable[..., Any], run: Run, folder: Path
    ) -> None:
        run(upload())
        (folder / "new.txt").write_text("new")
        assert upload().complete() is False
        run(upload())
        assert upload().complete() is True

    def test_files_of_others_are_told_and_left(
        self, server: StandIn, upload: Callable[..., Any], run: Run
    ) -> None:
        other = FileTarget(server.url, "P1", "UP", experiment="S1_MR1", path="thesis.txt")
        with other.open("w") as file:
            file.write("years of work")
        with pytest.raises(XNATUploadError, match=r"thesis\.txt.*--beside"):
            upload().run()
        run(upload(beside=True))
        assert upload(beside=True).complete() is True
        with other.open() as file:
            assert file.read() == "years of work"

    def test_the_result_of_a_step_is_not_taken_for_an_upload(
        self, server: StandIn, upload: Callable[..., Any]
    ) -> None:
        record = FileTarget(server.url, "P1", "UP", experiment="S1_MR1", path="provenance.json")
        with record.open("w") as file:
            file.write('{"my own": "file"}')
        with pytest.raises(XNATUploadError, match="choose another label"):
            upload().complete()

    def test_what_differs_is_replaced_only_when_told(
        self, server: StandIn, upload: Callable[..., Any], run: Run
    ) -> None:
        part = FileTarget(server.url, "P1", "UP", experiment="S1_MR1", path="sub/a b.txt")
        with part.open("wb") as file:
            file.write(b"somebody else's")
        with pytest.raises(XNATUploadError, match="overwrite replaces"):
            upload().run()
        with part.open() as file:
            assert file.read() == "somebody else's"
        run(upload(overwrite=True))
        assert upload().complete()

    def test_a_500_after_storing_is_looked_into(
        self, server: StandIn, upload: Callable[..., Any], run: Run
    ) -> None:
        server.faults.add(Fault(method="PUT", path="/UP/files/", rewrite_status=500, times=1))
        run(upload())
        assert upload().complete()

    def test_no_right_to_edit_is_no_success(
        self, server: StandIn, upload: Callable[..., Any], netrc: Path
    ) -> None:
        server.state.users.set_role("P1", "reader", "collaborator")
        netrc.write_text(netrc.read_text().replace("admin", "reader"))
        with pytest.raises(XNATForbiddenError, match="403"):
            upload().run()

    def test_an_absent_item_is_no_place(self, upload: Callable[..., Any]) -> None:
        with pytest.raises(Exception, match="no item to hold"):
            upload(experiment="S9_MR1").run()


def test_one_session_or_several_are_synced(
    server: StandIn, add_session: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    for label in ("S1_MR1", "S2_MR1", "S3_MR1"):
        add_session(label)
    luigi.Task.clear_instance_cache()
    tasks = [
        SyncExperiment(
            server=server.url, project="P1", dest=str(tmp_path / "dest"), experiment=label
        )
        for label in ("S1_MR1", "S3_MR1")
    ]
    run(*tasks)
    assert all(task.complete() for task in tasks)
    assert {name.split("/")[2] for name in files_in(tmp_path / "dest")} == {"S1_MR1", "S3_MR1"}


def test_many_sessions_share_one_inventory(
    server: StandIn, add_session: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    for number in range(1, 9):
        add_session(f"S{number}_MR1")
    luigi.Task.clear_instance_cache()
    words = {"server": server.url, "project": "P1", "dest": str(tmp_path / "dest")}
    tasks = [SyncExperiment(experiment=f"S{number}_MR1", **words) for number in range(1, 9)]
    run(*tasks)
    assert all(task.complete() for task in tasks)
    seen = len(server.requests)
    every = [{"experiment": f"S{number}_MR1", **words} for number in range(1, 10)]
    assert SyncExperiment.bulk_complete(every) == every[:8]
    assert len(server.requests) - seen <= 4, "nothing but for the one that is not there"


def test_a_deep_sync_sees_what_no_stamp_shows(
    server: StandIn, add_session: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    add_session()
    words = {"server": server.url, "project": "P1", "dest": str(tmp_path / "dest")}
    run(SyncProject(**words))
    catalog = next(server.root.rglob("scan_1_catalog.xml"), None) or next(
        path for path in server.root.rglob("*_catalog.xml") if "DICOM" in path.parts
    )
    victim = next(catalog.parent.glob("*0001.dcm"))
    data = victim.read_bytes()
    old, new = (hashlib.md5(one).hexdigest() for one in (data, data[::-1]))
    victim.write_bytes(data[::-1])
    catalog.write_text(catalog.read_text().replace(old, new))
    luigi.Task.clear_instance_cache()
    assert SyncProject(**words).complete() is True
    luigi.Task.clear_instance_cache()
    deep = SyncProject(**words, deep="all")
    assert deep.complete() is False
    run(deep)
    assert data[::-1] in files_in(tmp_path / "dest").values()


def test_an_order_is_a_file(
    server: StandIn, add_session: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    add_session("S1_MR1", project="P1")
    add_session("S1_MR1", project="P2")
    add_session("S2_MR1", project="P2")
    order = tmp_path / "order.toml"
    order.write_text(
        f'server = "{server.url}"\nprojects = ["P1", "P2"]\ndest = "{tmp_path}/dest"\n'
        'layout = "{project}/{session}/{scan_id}/{resource}/{path}"\n'
        '[select]\nsessions = ["S1_*"]\n'
    )
    luigi.Task.clear_instance_cache()
    run(SyncOrder(order=str(order)))
    names = files_in(tmp_path / "dest")
    assert len(names) == 4, names
    assert not [name for name in names if "S2_MR1" in name]
    order.write_text('servr = "x"\n')
    with pytest.raises(XNATValueError, match=r"order\.toml.*did you mean 'server'"):
        SyncOrder(order=str(order)).requires()


@pytest.mark.parametrize(
    ("words", "sessions"),
    [
        ({"sessions": "S1_*,S3_MR1"}, {"S1_MR1", "S3_MR1"}),
        ({"subjects": "S2"}, {"S2_MR1"}),
        ({"select": {"sessions": ["re:S[12]_.*"]}}, {"S1_MR1", "S2_MR1"}),
        ({"select": {"custom": "cohort=A*"}}, {"S2_MR1"}),
        ({"select": {"types": "xnat:ct*"}}, set()),
    ],
)
def test_a_selection_of_sessions(
    server: StandIn,
    add_session: Callable[..., str],
    run: Run,
    tmp_path: Path,
    words: dict[str, Any],
    sessions: set[str],
) -> None:
    for label in ("S1_MR1", "S2_MR1", "S3_MR1"):
        add_session(label)
    server.add_session("P1", "S2", "S2_MR2", custom={"cohort": "B"})
    run(SetFields(server.url, "P1", experiment="S2_MR1", fields={"custom.cohort": "A1"}))
    luigi.Task.clear_instance_cache()
    task = SyncProject(server=server.url, project="P1", dest=str(tmp_path / "dest"), **words)
    run(task)
    assert task.complete()
    assert {name.split("/")[2] for name in files_in(tmp_path / "dest")} == sessions


@pytest.mark.parametrize(
    ("words", "nearest"), [({"sessions": "S1_MR2"}, "S1_MR1"), ({"subjects": "S11"}, "S1")]
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest(
    server: StandIn,
    add_session: Callable[..., str],
    run: Callable[..., Any],
    tmp_path: Path,
    words: dict[str, str],
    nearest: str,
) -> None:
    """Nothing to fetch is not the same as nothing left to fetch."""
    add_session("S1_MR1")
    task = SyncProject(server=server.url, project="P1", dest=str(tmp_path / "dest"), **words)
    with pytest.raises(XNATValueError, match=f"{nearest}\\b"):
        task.complete()
    assert not run(task).scheduling_succeeded


def test_a_wrong_word_in_a_selection_names_the_right_one(server: StandIn, tmp_path: Path) -> None:
    task = SyncProject(
        server=server.url, project="P1", dest=str(tmp_path), select={"qualitys": "usable"}
    )
    with pytest.raises(XNATValueError, match="did you mean 'qualities'"):
        task.complete()


def test_an_unknown_session_is_an_error_and_the_others_come(
    server: StandIn, add_session: Callable[..., str], tmp_path: Path
) -> None:
    add_session("S1_MR1")
    task = SyncExperiment(
        server=server.url, project="P1", dest=str(tmp_path / "dest"), experiment="S1_MR1,S7_MR1"
    )
    with pytest.raises(Exception, match="has no session S7_MR1"):
        task.run()
    assert task.complete() is False
    assert len(files_in(tmp_path / "dest")) == 2


def test_P5_a_refresh_that_did_nothing_is_an_error(
    server: StandIn, add_session: Callable[..., str], run: Run
) -> None:
    add_session()
    drop_digests(server)
    task = RefreshCatalog(server=server.url, project="P1", experiment="S1_MR1")
    assert not task.complete()
    server.faults.add(Fault(method="POST", path="/refresh/catalog", status=200, body=""))
    with pytest.raises(Exception, match="not right after a refresh"):
        task.run()
    server.faults.clear()
    run(task)
    assert task.complete()


def test_N8_a_refresh_whose_answer_is_lost_is_looked_after_and_not_ordered_again(
    server: StandIn, add_session: Callable[..., str], run: Run
) -> None:
    add_session()
    drop_digests(server)
    task = RefreshCatalog(server=server.url, project="P1", experiment="S1_MR1")
    rule = server.faults.add(Fault(method="POST", path="/refresh/catalog", rewrite_status=504))
    run(task)
    assert task.complete()
    assert rule.fired == 1


def test_tasks_are_made_of_words_and_travel(server: StandIn, netrc: Path, tmp_path: Path) -> None:
    tasks: list[luigi.Task] = [
        SyncProject(server=server.url, project="P1", dest=str(tmp_path)),
        ExperimentReady(server=server.url, project="P1", experiment="E"),
        UploadResource(server=server.url, project="P1", source=str(tmp_path), resource="R"),
    ]
    for task in tasks:
        again = pickle.loads(pickle.dumps(task))
        assert again.task_id == task.task_id
        assert "admin" not in repr(task) + str(pickle.dumps(task))
    assert not ResourceTarget(server.url, "P1", "R").exists.__self__.__dict__.get("connection")
