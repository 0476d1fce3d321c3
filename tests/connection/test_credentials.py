"""Who we are: argument, environment, netrc, in this order (S-003 to S-008, fault row A3)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from xnat_luigi.connection.credentials import Credentials, find_credentials
from xnat_luigi.exceptions import XNATConfigError

SERVER = "https://xnat.example.org/site"
EMPTY: dict[str, str] = {}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def test_S003_arguments_come_first(home: dict[str, str]) -> None:
    environ = {**home, "XNAT_LUIGI_USER": "eve", "XNAT_LUIGI_PASSWORD": "no"}
    found = find_credentials(SERVER, user="ann", password="pw", environ=environ)
    assert found == Credentials("ann", "pw")


def test_an_empty_password_is_one(home: dict[str, str]) -> None:
    assert find_credentials(SERVER, user="ann", password="", environ=home) == Credentials("ann", "")


def test_the_environment_comes_before_netrc(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "machine xnat.example.org login bob password b\n")
    environ = {**home, "XNAT_LUIGI_USER": "eve", "XNAT_LUIGI_PASSWORD": "e"}
    assert find_credentials(SERVER, environ=environ) == Credentials("eve", "e", "environment")


@pytest.mark.parametrize(
    "meant", ["https://other.example.org", "http://xnat.example.org", "https://xnat.example.org:1"]
)
def test_a_password_of_the_environment_goes_to_its_server_only(
    home: dict[str, str], meant: str
) -> None:
    environ = {
        **home,
        "XNAT_LUIGI_USER": "eve",
        "XNAT_LUIGI_PASSWORD": "e",
        "XNAT_LUIGI_SERVER": meant,
    }
    assert find_credentials(SERVER, environ=environ) is None


def test_S005_S006_netrc_in_the_home_folder_over_lines(
    home: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path / ".netrc", "machine xnat.example.org\nlogin bob\npassword 's\"ecret'\n")
    found = find_credentials(SERVER, environ=home)
    assert found is not None
    assert found.user == "bob"
    assert found.source == str(tmp_path / ".netrc")


def test_S005_an_entry_with_the_port_comes_first(home: dict[str, str], tmp_path: Path) -> None:
    entries = [
        "machine xnat.example.org login bob password b",
        "machine xnat.example.org:8443 login ann password a",
    ]
    write(tmp_path / ".netrc", "\n".join(entries) + "\n")
    for server, user in {
        "https://xnat.example.org:8443/site": "ann",
        "https://xnat.example.org:1": "bob",
        "https://xnat.example.org": "bob",
    }.items():
        found = find_credentials(server, environ=home)
        assert found is not None
        assert found.user == user


def test_S008_another_netrc_file_in_place_of_all(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "machine xnat.example.org login bob password b\n")
    other = write(tmp_path / "other", "machine xnat.example.org login ann password a\n")
    environ = {**home, "XNAT_LUIGI_USER": "eve", "XNAT_LUIGI_PASSWORD": "e"}
    found = find_credentials(SERVER, netrc_file=other, environ=environ)
    assert found == Credentials("ann", "a", str(other))


def test_the_variable_NETRC_names_the_file(home: dict[str, str], tmp_path: Path) -> None:
    other = write(tmp_path / "named", "machine xnat.example.org login ann password a\n")
    found = find_credentials(SERVER, environ={**home, "NETRC": str(other)})
    assert found is not None
    assert found.user == "ann"


def test_a_file_that_NETRC_names_must_be_there(home: dict[str, str], tmp_path: Path) -> None:
    """A typo would otherwise make a guest of us."""
    write(tmp_path / ".netrc", "machine xnat.example.org login bob password b\n")
    with pytest.raises(XNATConfigError, match=r"no netrc file .*/typo; NETRC names it"):
        find_credentials(SERVER, environ={**home, "NETRC": str(tmp_path / "typo")})
    assert find_credentials(SERVER, environ={**home, "NETRC": "/dev/null"}) is None


def test_S002_nothing_fitting_means_a_guest(home: dict[str, str], tmp_path: Path) -> None:
    assert find_credentials(SERVER, environ=home) is None
    write(tmp_path / ".netrc", "machine elsewhere login bob password b\n")
    assert find_credentials(SERVER, environ=home) is None


def test_the_entry_named_default_counts_for_all_hosts(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "default login bob password b\n")
    found = find_credentials(SERVER, environ=home)
    assert found is not None
    assert found.user == "bob"


def test_a_user_takes_the_password_of_that_user_only(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "machine xnat.example.org login bob password b\n")
    found = find_credentials(SERVER, user="bob", environ=home)
    assert found is not None
    assert found.password == "b"
    with pytest.raises(XNATConfigError, match="no password for user 'ann'"):
        find_credentials(SERVER, user="ann", environ=home)


def test_a_password_without_a_user_is_refused(home: dict[str, str]) -> None:
    with pytest.raises(XNATConfigError, match="without a user") as caught:
        find_credentials(SERVER, password="hush-hush", environ=home)
    assert "hush" not in str(caught.value)


def test_A4_no_password_in_the_repr() -> None:
    assert "hush" not in repr(Credentials("ann", "hush"))


@pytest.mark.parametrize("copy_", [pickle.dumps, copy.copy, copy.deepcopy])
def test_A4_credentials_are_not_pickled(copy_: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        copy_(Credentials("ann", "hush"))
