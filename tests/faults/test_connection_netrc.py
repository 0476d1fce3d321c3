"""Fault row A3: a netrc file that is open to others, broken, or missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_luigi.connection.credentials import find_credentials
from xnat_luigi.exceptions import XNATConfigError

SERVER = "https://xnat.example.org/site"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
@pytest.mark.parametrize("explicit", [True, False])
def test_A3_S007_F18_open_to_others_is_refused_explicit_path_or_not(
    home: dict[str, str], tmp_path: Path, mode: int, explicit: bool
) -> None:
    path = write(tmp_path / ".netrc", "machine xnat.example.org login b password hush\n", mode)
    with pytest.raises(XNATConfigError, match=f"chmod 600 {path}") as caught:
        find_credentials(SERVER, netrc_file=path if explicit else None, environ=home)
    assert "hush" not in str(caught.value)


def test_A3_broken_names_file_and_line_and_quotes_nothing(
    home: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / ".netrc", "machine xnat.example.org\nlogin b\nhush-hush here\n")
    with pytest.raises(XNATConfigError, match=rf"{path} cannot be read, line \d") as caught:
        find_credentials(SERVER, environ=home)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_A3_an_entry_without_password_is_named(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "machine xnat.example.org login b\n")
    with pytest.raises(XNATConfigError, match=r"xnat\.example\.org"):
        find_credentials(SERVER, environ=home)


def test_A3_a_named_file_that_is_missing_is_an_error(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(XNATConfigError, match="no netrc file"):
        find_credentials(SERVER, netrc_file=tmp_path / "none", environ=home)


def test_A3_binary_rubbish_is_an_error(home: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_bytes(b"\xff\xfe\x00machine")
    path.chmod(0o600)
    with pytest.raises(XNATConfigError, match="cannot be read"):
        find_credentials(SERVER, environ=home)
