"""Files and resources: read in part, downloaded, uploaded, refreshed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnsafeNameError,
    XNATUploadError,
    XNATValueError,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .conftest import asked

METHODS = ["per_file", "tar_memory", "tgz_memory", "tar_file", "tgz_file"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files in folders, an empty one, odd names."""
    root = tmp_path / "folder"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"one")
    (root / "sub" / "a.txt").write_bytes(b"two")
    (root / "sub" / "deep" / "empty.txt").write_bytes(b"")
    (root / "b c.txt").write_bytes(b"blank")
    return root


def tree(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_S168_a_zip_of_everything_with_files(
    experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    site.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    for owner, count in (
        (experiment, 4),
        (experiment.scans["1"], 3),
        (experiment.assessors["QC1"], 1),
        (experiment.resources["LOGS"], 2),
    ):
        target = tmp_path / "x.zip"
        assert owner.download(str(target), verbose=False) == str(target)
        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None and len(archive.namelist()) == count
    with pytest.raises(XNATNotFoundError, match="no files"):
        experiment.scans["3"].download(tmp_path / "y.zip")
    assert [one.name for one in tmp_path.iterdir()] == ["x.zip"]


def test_Z3_a_zip_that_lacks_a_file_is_not_kept(
    experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    (found,) = (site.root / "archive").rglob("SCANS/1/DICOM/2.dcm")
    found.unlink()  # in the catalog, not on the disk: the server leaves it out without a word
    with pytest.raises(XNATIntegrityError, match=r"lacks 1 of 3 files.*2\.dcm"):
        experiment.scans["1"].download(tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fault", [{"cut": 200}, {"flip": 60}, {"replace": "<!DOCTYPE html><html>Login</html>"}]
)
def test_Z3_a_damaged_zip_is_asked_again_and_then_refused(
    experiment: Any, site: StandIn, tmp_path: Path, fault: dict[str, Any]
) -> None:
    target = tmp_path / "x.zip"
    site.faults.add(Fault(method="GET", path="format=zip", times=1, **fault))
    experiment.scans["1"].download(target)
    with zipfile.ZipFile(target) as archive:
        assert len(archive.namelist()) == 3
    target.unlink()
    site.faults.clear()
    site.faults.add(Fault(method="GET", path="format=zip", **fault))
    with pytest.raises(XNATError):
        experiment.scans["1"].download(target)
    site.faults.clear()
    assert list(tmp_path.iterdir()) == []


def test_S170_S173_an_experiment_into_a_folder(experiment: Any, tmp_path: Path) -> None:
    experiment.download_dir(tmp_path / "new")
    assert tree(tmp_path / "new") == {
        "S1_MR1/scans/1-T1/resources/DICOM/files/1.dcm": b"one",
        "S1_MR1/scans/1-T1/resources/DICOM/files/2.dcm": b"two two",
        "S1_MR1/scans/1-T1/resources/NIFTI/files/a/b.nii": b"nifti",
        "S1_MR1/scans/2-T2/resources/DICOM/files/1.dcm": b"x",
        "S1_MR1/resources/LOGS/files/log.txt": b"it ran",
        "S1_MR1/resources/LOGS/files/sub/log.txt": b"again",
    }


def test_S172_S175_a_project_into_a_folder(project: Any, tmp_path: Path) -> None:
    told: list[str] = []
    project.download_dir(tmp_path, verbose=False, progress_callback=told.append)
    assert "first/S1/S1_MR1/scans/2-T2/resources/DICOM/files/1.dcm" in tree(tmp_path)
    assert (tmp_path / "first" / "S2").is_dir()
    assert any("S1_CT1" in text for text in told) and any("subject S2" in text for text in told)


def test_S170_a_scan_and_a_resource_into_a_folder(experiment: Any, tmp_path: Path) -> None:
    experiment.scans["1"].download_dir(tmp_path / "scan")
    assert set(tree(tmp_path / "scan")) == {
        "S1_MR1/scans/1-T1/resources/DICOM/files/1.dcm",
        "S1_MR1/scans/1-T1/resources/DICOM/files/2.dcm",
        "S1_MR1/scans/1-T1/resources/NIFTI/files/a/b.nii",
    }
    experiment.resources["LOGS"].download_dir(tmp_path / "resource")
    assert set(tree(tmp_path / "resource")) == {
        "S1_MR1/resources/LOGS/files/log.txt",
        "S1_MR1/resources/LOGS/files/sub/log.txt",
    }


def test_S177_flat_or_not_at_all(experiment: Any, tmp_path: Path) -> None:
    experiment.scans["1"].resources["NIFTI"].download_dir(tmp_path, flatten_dirs=True)
    assert tree(tmp_path) == {"b.nii": b"nifti"}
    with pytest.raises(XNATUnsafeNameError, match=r"log\.txt"):
        experiment.resources["LOGS"].download_dir(tmp_path / "two", flatten_dirs=True)
    assert not tree(tmp_path / "two") if (tmp_path / "two").exists() else True


def test_S176_verbose_says_where(
    experiment: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment.logger.setLevel("INFO")  # a logger of this session alone
    experiment.logger.addHandler(caplog.handler)
    experiment.download_dir(tmp_path)
    assert str(tmp_path / "S1_MR1") in caplog.text
    caplog.clear()
    experiment.download_dir(tmp_path, verbose=False)
    assert "Downloaded" not in caplog.text


def test_Z3_what_the_zip_lacks_is_fetched_singly(
    experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    site.faults.add(Fault(method="GET", path="format=zip", cut=150))
    experiment.download_dir(tmp_path)
    site.faults.clear()
    assert len(tree(tmp_path)) == 6
    assert tree(tmp_path)["S1_MR1/scans/1-T1/resources/NIFTI/files/a/b.nii"] == b"nifti"


def test_S178_one_file(experiment: Any, tmp_path: Path) -> None:
    resource = experiment.resources["LOGS"]
    (tmp_path / "x.txt").write_bytes(b"words")
    resource.upload(str(tmp_path / "x.txt"), "new/x.txt")
    resource.upload(io.BytesIO(b"bytes"), "y.bin")
    resource.upload("some text", "z.txt")
    sizes = {one.path: one.file_size for one in resource.files.listing}
    assert sizes == {"log.txt": 6, "sub/log.txt": 5, "new/x.txt": 5, "y.bin": 5, "z.txt": 9}


def test_data_is_never_taken_for_a_path(experiment: Any, tmp_path: Path) -> None:
    resource = experiment.create_resource("NEW")
    (tmp_path / "x.txt").write_text("other")
    resource.upload_data(str(tmp_path / "x.txt"), "a.txt", file_format="TEXT")
    resource.upload_data(b"bytes", "b.bin")
    resource.upload_data(io.BytesIO(b"stream"), "c.bin")
    found = {one.path: one.open().read() for one in resource.files.listing}
    assert found == {
        "a.txt": str(tmp_path / "x.txt").encode(),
        "b.bin": b"bytes",
        "c.bin": b"stream",
    }


def test_S179_A6_4_replacing_must_be_said(experiment: Any) -> None:
    resource = experiment.resources["LOGS"]
    with pytest.raises(XNATUploadError, match=r"log\.txt"):
        resource.upload("other", "log.txt")
    assert resource.files["log.txt"].open().read() == b"it ran"
    resource.upload("other", "log.txt", overwrite=True)
    assert resource.files["log.txt"].open().read() == b"other"


def test_S180_the_server_unpacks(experiment: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("in/a.txt", "one")
        archive.writestr("in/b.txt", "two")
    resource = experiment.create_resource("NEW")
    resource.upload(str(tmp_path / "x.zip"), "x.zip", extract=True)
    assert [one.path for one in resource.files.listing] == ["in/a.txt", "in/b.txt"]
    with pytest.raises(XNATValueError, match="cannot be unpacked"):
        resource.upload("x", "x.nii.gz", extract=True)


def test_S181_content_format_and_tags(experiment: Any) -> None:
    resource = experiment.create_resource("NEW")
    resource.upload("x", "x.txt", file_content="NOTES", file_format="TEXT", file_tags="one")
    (file,) = resource.files.listing
    assert (file.file_content, file.file_format, file.file_tags) == ("NOTES", "TEXT", "one")


def test_S182_further_keywords_go_to_the_session(experiment: Any, site: StandIn) -> None:
    resource = experiment.create_resource("NEW")
    resource.upload("x", "x.txt", content_type="text/plain", retries=2, timeout=30)
    assert [one.path for one in resource.files.listing] == ["x.txt"]
    with pytest.raises(TypeError):
        resource.upload("x", "y.txt", nonsense=1)


def test_S183_the_listing_is_read_anew(experiment: Any) -> None:
    resource = experiment.resources["LOGS"]
    assert len(resource.files) == 2 and resource.file_count == 2
    resource.upload("x", "x.txt")
    assert len(resource.files) == 3 and resource.file_count == 3


@pytest.mark.parametrize("method", METHODS)
def test_S184_S185_S186_S187_S188_a_folder_by_all_methods(
    experiment: Any, folder: Path, method: str, tmp_path: Path, site: StandIn
) -> None:
    resource = experiment.create_resource("NEW")
    before = len(asked(site))
    resource.upload_dir(folder, method=method)
    sent = [one for one in asked(site)[before:] if one.startswith("PUT")]
    # Empty files cannot be sent singly (A 6.4), they go together in an archive.
    assert len(sent) == (4 if method == "per_file" else 1), sent
    resource.download_dir(tmp_path / "back", flatten_dirs=False)
    found = {k.partition("/files/")[2]: v for k, v in tree(tmp_path / "back").items()}
    assert found == tree(folder)


def test_S184_what_is_there_and_equal_is_not_sent_again(
    experiment: Any, folder: Path, site: StandIn
) -> None:
    resource = experiment.create_resource("NEW")
    resource.upload_dir(folder)
    puts = sum(one.startswith("PUT") for one in asked(site))
    resource.upload_dir(folder)
    assert sum(one.startswith("PUT") for one in asked(site)) == puts
    (folder / "a.txt").write_bytes(b"changed")
    with pytest.raises(XNATUploadError, match="overwrite replaces"):
        resource.upload_dir(folder)
    resource.upload_dir(folder, overwrite=True)
    assert resource.files["a.txt"].open().read() == b"changed"


def test_S185_an_unknown_method_is_an_error(experiment: Any, folder: Path) -> None:
    resource = experiment.resources["LOGS"]
    with pytest.raises(XNATValueError, match="tgz_file"):
        resource.upload_dir(folder, method="carrier_pigeon")
    with pytest.raises(XNATValueError, match="no folder"):
        resource.upload_dir(folder / "nothing")


def test_A6_4_without_the_right_to_edit_nothing_is_claimed(site: StandIn, folder: Path) -> None:
    import xnat_luigi as xnat

    site.add_user("looker", "secret", P1="collaborator")
    with xnat.connect(site.url, user="looker", password="secret") as session:
        resource = session.projects["P1"].experiments["S1_MR1"].resources["LOGS"]
        with pytest.raises(XNATUploadError, match="without the right to edit"):
            resource.upload("x", "x.txt")
        with pytest.raises(XNATUploadError, match="without the right to edit"):
            resource.upload_dir(folder)
        assert len(resource.files) == 2


def test_S189_counts(experiment: Any) -> None:
    resource = experiment.scans["1"].resources["DICOM"]
    assert (resource.file_count, resource.file_size) == (2, 10)


def test_S190_S250_S251_S252_refreshing(session: Any, experiment: Any, site: StandIn) -> None:
    resource = experiment.scans["1"].resources["DICOM"]
    (folder,) = (site.root / "archive").rglob("SCANS/1/DICOM")
    (folder / "3.dcm").write_bytes(b"three")
    (folder / "1.dcm").unlink()
    resource.refresh_catalog()
    assert {one.path for one in resource.files.listing} == {"1.dcm", "2.dcm", "3.dcm"}
    assert resource.files["3.dcm"].digest == hashlib.md5(b"three").hexdigest()
    session.services.refresh_catalog(resource.uri, delete=True)
    resource.clearcache()
    session.clearcache()
    assert {one.path for one in resource.files.listing} == {"2.dcm", "3.dcm"}
    session.services.refresh_catalog(
        experiment, checksum=True, delete=True, append=True, populate_stats=True
    )
    assert resource.file_count == 2


def test_S253_the_catalog_must_exist(session: Any, experiment: Any) -> None:
    with pytest.raises(XNATResponseError, match="400"):
        session.services.refresh_catalog(f"{experiment.uri}/resources/NONE", append=True)
    session.put(f"{experiment.uri}/resources/NONE")
    session.services.refresh_catalog(f"{experiment.uri}/resources/NONE", append=True)


def test_S120_a_resource_keeps_its_id(experiment: Any) -> None:
    resource = experiment.resources["LOGS"]
    id_ = resource.id
    resource.clearcache()
    assert resource.id == id_ and resource.label == "LOGS"


def test_S191_S193_what_a_file_tells(experiment: Any) -> None:
    file = experiment.scans["1"].resources["NIFTI"].files["a/b.nii"]
    assert (file.id, file.path, file.name) == ("b.nii", "a/b.nii", "b.nii")
    assert (file.collection, file.file_size, file.size) == ("NIFTI", 5, 5)
    assert file.cat_id == experiment.scans["1"].resources["NIFTI"].id
    assert file.digest == hashlib.md5(b"nifti").hexdigest()
    assert (file.file_content, file.file_format, file.file_tags) == ("", "", "")


def test_S193_a_file_reached_by_its_address(session: Any, experiment: Any) -> None:
    uri = experiment.resources["LOGS"].files["sub/log.txt"].uri
    session.clearcache()
    file = session.create_object(uri)
    assert (type(file).__name__, file.path, file.file_size) == ("FileData", "sub/log.txt", 5)


def test_S194_the_size_without_a_listing(session: Any, experiment: Any, site: StandIn) -> None:
    file = experiment.resources["LOGS"].files["log.txt"]
    file._cache["data"]["Size"] = ""  # as a server says that has no size in its catalog (A 6.2)
    assert file.file_size is None and file.size == 6


def test_S195_down_and_away(experiment: Any, tmp_path: Path) -> None:
    resource = experiment.resources["LOGS"]
    file = resource.files["sub/log.txt"]
    assert file.download(str(tmp_path / "x.txt")) == str(tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_bytes() == b"again"
    stream = io.BytesIO()
    file.download_stream(stream)
    assert stream.getvalue() == b"again"
    file.delete()
    assert [one.path for one in resource.files.listing] == ["log.txt"]


def test_A8_25_deleting_a_file_takes_no_other_along(experiment: Any) -> None:
    resource = experiment.create_resource("NEW")
    resource.upload("x", "a.nii")
    resource.upload("y", "a.nii.gz")
    with pytest.raises(XNATConflictError, match=r"a\.nii\.gz"):
        resource.files["a.nii"].delete()
    assert len(resource.files) == 2


def test_N11_a_flipped_byte_is_noticed(experiment: Any, site: StandIn, tmp_path: Path) -> None:
    file = experiment.resources["LOGS"].files["log.txt"]
    site.faults.add(Fault(method="GET", path=r"files/log\.txt", flip=2, times=1))
    file.download(tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_bytes() == b"it ran"
    site.faults.add(Fault(method="GET", path=r"files/log\.txt", flip=2))
    with pytest.raises(XNATIntegrityError, match="MD5"):
        file.download(tmp_path / "y.txt")
    site.faults.clear()
    assert [one.name for one in tmp_path.iterdir()] == ["x.txt"]


def test_N12_a_wrong_digest_in_the_catalog_names_both(
    experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    site.preferences["checksums"] = False
    resource = experiment.resources["LOGS"]
    resource.upload("other!", "log.txt", overwrite=True)  # same size, and the old digest stays
    right = hashlib.md5(b"other!").hexdigest()
    wrong = hashlib.md5(b"it ran").hexdigest()
    with pytest.raises(XNATIntegrityError) as caught:
        resource.files["log.txt"].download(tmp_path / "x.txt")
    assert right in str(caught.value) and wrong in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_batches_chosen_by_patterns(session: Any, site: StandIn, tmp_path: Path) -> None:
    done = session.batch_download(tmp_path / "a", project="P*", scan="T1", resource="DICOM")
    assert (done.files, done.sessions) == (2, 2)
    assert set(tree(tmp_path / "a")) == {
        f"P1/S1/S1_MR1/scans/1-T1/resources/DICOM/files/{name}.dcm" for name in "12"
    }
    session.batch_download(tmp_path / "b", experiment="S1_(MR|XX)\\d", use_regex=True)
    assert len(tree(tmp_path / "b")) == 6
    (found,) = (site.root / "archive").rglob("SCANS/1/DICOM/2.dcm")
    found.unlink()
    with pytest.raises(XNATIntegrityError, match=r"1 of 2 sessions .* P1/S1/S1_MR1"):
        session.batch_download(tmp_path / "c", project="P1")
