"""Settings, policy and the tree of errors."""

from __future__ import annotations

import inspect
import re

import pytest

from xnat_luigi import exceptions
from xnat_luigi.config import Policy, Settings
from xnat_luigi.exceptions import XNATConfigError


def test_the_policy_is_the_documented_one() -> None:
    policy = Policy()
    assert (policy.connect, policy.listing, policy.transfer, policy.archive) == (10, 300, 600, 630)
    assert (policy.gap, policy.rate, policy.attempts) == (60, 1024, 5)
    assert (policy.first_wait, policy.longest_wait, policy.total_wait) == (0.5, 30, 120)


@pytest.mark.parametrize("name", ["connect", "gap", "attempts", "largest_answer"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_of_the_policy_are_above_0(name: str, value: int) -> None:
    with pytest.raises(XNATConfigError, match=name):
        Policy(**{name: value})


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environ({}) == Settings()


def test_the_environment_is_read() -> None:
    found = Settings.from_environ(
        {
            "XNAT_LUIGI_SERVER": "https://x",
            "XNAT_LUIGI_USER": "ann",
            "XNAT_LUIGI_PASSWORD": "hush",
            "NETRC": "/n",
            "XNAT_LUIGI_VERIFY": "no",
            "XNAT_LUIGI_ATTEMPTS": "2",
            "XNAT_LUIGI_TIMEOUT": "20.5",
        }
    )
    assert (found.server, found.user, found.netrc_file) == ("https://x", "ann", "/n")
    assert found.verify is False
    assert (found.policy.attempts, found.policy.listing) == (2, 20.5)
    assert found.policy.transfer == 600
    assert "hush" not in repr(found)


def test_verify_may_name_a_file() -> None:
    assert Settings.from_environ({"XNAT_LUIGI_VERIFY": "/ca.pem"}).verify == "/ca.pem"


@pytest.mark.parametrize("bad", ["many", "0", "-3", "inf", "nan"])
@pytest.mark.parametrize("name", ["XNAT_LUIGI_ATTEMPTS", "XNAT_LUIGI_TIMEOUT"])
def test_numbers_that_are_none_are_named(name: str, bad: str) -> None:
    with pytest.raises(XNATConfigError, match=name):
        Settings.from_environ({name: bad})


def test_F08_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^ +(XNAT\w*Error)\b.*?(\d)(?:  |$)", exceptions.__doc__ or "", re.M)
    classes = {name: cls for name, cls in vars(exceptions).items() if name.startswith("XNAT")}
    assert sorted(exceptions.__all__) == sorted(classes)
    assert {name for name, _ in drawn} == set(classes)
    for name, status in drawn:
        assert classes[name].exit_status == int(status), name
        assert inspect.getdoc(classes[name])


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("XNATValueError", ValueError),
        ("XNATIOError", IOError),
        ("XNATAuthError", ValueError),
        ("XNATLoginFailedError", exceptions.XNATAuthError),
        ("XNATExpiredCredentialsError", exceptions.XNATAuthError),
        ("XNATNotConnectedError", exceptions.XNATAuthError),
        ("XNATSSLError", exceptions.XNATConnectionError),
        ("XNATUploadError", exceptions.XNATError),
        ("XNATResponseError", exceptions.XNATError),
        ("XNATObjectDestroyedError", exceptions.XNATError),
    ],
)
def test_F08_documented_errors_have_their_bases(name: str, base: type[BaseException]) -> None:
    assert issubclass(getattr(exceptions, name), (base,))
    assert issubclass(getattr(exceptions, name), exceptions.XNATError)
