"""connect(): who, where to, and with which settings (S-001 to S-034, S-256 to S-258)."""

from __future__ import annotations

import getpass
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest

import xnat_luigi as xnat
from xnat_luigi.connection.registry import close_all
from xnat_luigi.exceptions import (
    XNATConfigError,
    XNATConnectionError,
    XNATExpiredCredentialsError,
    XNATLoginFailedError,
    XNATPageError,
    XNATSSLError,
    XNATTimeoutError,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .conftest import Connect

LOGIN = "/data/services/auth"


def paths(standin: StandIn) -> list[str]:
    return [one.path for one in standin.requests]


@pytest.mark.parametrize("bad", ["xnat.example.org", "127.0.0.1:80", "ftp://x", ""])
def test_S001_an_address_without_scheme_is_refused(bad: str) -> None:
    with pytest.raises(XNATConfigError, match="https://"):
        xnat.connect(bad)


def test_S002_without_anything_the_session_is_a_guest_s(standin: StandIn, connect: Connect) -> None:
    standin.preferences["requireLogin"] = False
    session = connect(user=None)
    assert session.logged_in_user == "guest"
    assert session.get("/data/projects", format="json").status_code == 200
    assert LOGIN not in paths(standin)


def test_S004_S009_a_user_alone_is_asked_for_the_password(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # getpass knows the consoles of all systems, Windows included.
    asked: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda text="": asked.append(text) or "admin")
    with xnat.connect(standin.url, user="admin", no_parse_model=True) as session:
        assert session.logged_in_user == "admin"
    assert len(asked) == 1
    assert "admin" in asked[0]
    assert standin.url in asked[0]


def test_S004_without_a_console_the_files_are_looked_into(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(text: str = "") -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", nobody)
    home = tmp_path / "desk"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(XNATConfigError, match=r"no password for user 'admin' at .*\.netrc"):
        xnat.connect(standin.url, user="admin")
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login admin password admin\n")
    netrc.chmod(0o600)
    with xnat.connect(standin.url, user="admin", no_parse_model=True) as session:
        assert session.logged_in_user == "admin"
        assert repr(session.services) == f"<Services of {standin.url}>"
        assert repr(session.prearchive) == f"<Prearchive of {standin.url}>"


def test_S008_another_netrc_file(standin: StandIn, connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text("machine 127.0.0.1 login reader password reader\n")
    file.chmod(0o600)
    assert connect(user=None, netrc_file=str(file)).logged_in_user == "reader"


def test_S010_the_provider_is_named(standin: StandIn, connect: Connect) -> None:
    assert connect(auth_provider="localdb").logged_in_user == "admin"
    with pytest.raises(XNATLoginFailedError, match="ldap-1"):
        connect(auth_provider="ldap-1")


def test_S011_S013_S247_S249_a_token_logs_in_as_its_user(
    standin: StandIn, connect: Connect
) -> None:
    token = connect().services.issue_token()
    assert token._fields == ("alias", "secret")
    session = connect(user=token.alias, password=token.secret)
    assert session.logged_in_user == "admin"
    assert session.get("/data/projects", format="json").status_code == 200


def test_S248_a_token_for_another_user_is_an_administrator_s(
    standin: StandIn, connect: Connect
) -> None:
    token = connect().services.issue_token("reader")
    assert connect(user=token.alias, password=token.secret).logged_in_user == "reader"
    with pytest.raises(xnat.exceptions.XNATResponseError):
        connect("", "reader").services.issue_token("admin")


def test_S012_the_name_may_be_another_one(standin: StandIn, connect: Connect) -> None:
    assert connect(user="localdb/admin", password="admin").logged_in_user == "admin"


def test_S013_wrong_passwords_are_an_error_of_connect(standin: StandIn, connect: Connect) -> None:
    with pytest.raises(XNATLoginFailedError, match="wrong password"):
        connect(password="wrong")
    assert paths(standin).count(LOGIN) == 1


def test_S014_an_expired_password_says_that_it_must_be_renewed(
    standin: StandIn, connect: Connect
) -> None:
    standin.state.users.set("reader", expired=True)
    with pytest.raises(XNATExpiredCredentialsError, match="renew"):
        connect(user="reader")


def test_S015_S016_no_request_carries_the_credentials(standin: StandIn, connect: Connect) -> None:
    session = connect()
    response = session.get("/data/projects", format="json")
    assert "Authorization" not in response.request.headers
    assert response.request.headers["Cookie"] == f"JSESSIONID={session.JSESSION}"
    assert session.interface.auth is None
    assert session.interface.trust_env is False
    assert paths(standin).count(LOGIN) == 1


def test_S017_the_user_agent_names_the_client_in_detail(session: Any) -> None:
    agent = session.get("/data/projects", format="json").request.headers["User-Agent"]
    assert re.match(rf"xnat-luigi/{re.escape(xnat.__version__)} \(\w+ \w+\) \w+/3\.\d+", agent)
    assert session.interface.headers["User-Agent"] == agent


def test_S018_S019_verify_false_works_and_warns_once(
    tls: str, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(XNATSSLError):
        connect(tls)
    with caplog.at_level("WARNING"):
        session = connect(tls, verify=False)
        for _ in range(3):
            session.get("/data/projects", format="json")
    assert len(caplog.records) == 1
    assert "not checked" in caplog.text
    session.disconnect()


def test_S018_verify_may_name_the_certificate(tls: str, connect: Connect, tmp_path: Path) -> None:
    session = connect(tls, verify=str(tmp_path / "certificate.pem"))
    assert session.logged_in_user == "admin"
    session.disconnect()


def test_S018_the_environment_may_name_the_certificate(
    tls: str, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_VERIFY", str(tmp_path / "certificate.pem"))
    session = connect(tls)
    assert session.logged_in_user == "admin"
    session.disconnect()


@pytest.mark.parametrize("status", [301, 302])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("page", ["/", "/app/template/Index.vm", "/data/x"])
def test_S020_S021_a_redirect_is_noticed_and_later_requests_go_there(
    standin: StandIn, tmp_path: Path, status: int, slash: str, page: str
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ann password a\n")
    netrc.chmod(0o600)
    with StandIn(users={"ann": "a"}, context="/xnat") as other:
        standin.faults.add(Fault(path="^/$", redirect=other.url + page, status=status))
        with xnat.connect(standin.url + slash, netrc_file=netrc, no_parse_model=True) as session:
            assert session.server == other.url
            assert session.logged_in_user == "ann"
            before = len(standin.requests)
            assert session.get("/data/projects", format="json").status_code == 200
            # An address of the server that was given is understood as well.
            session.get(standin.url + "/data/projects", format="json")
            assert len(standin.requests) == before


def test_S020_A1_3_an_explicit_password_never_goes_to_another_server(
    standin: StandIn, connect: Connect
) -> None:
    with StandIn(users={"admin": "admin"}) as other:
        standin.faults.add(Fault(path="^/$", redirect=other.url + "/", status=301))
        with pytest.raises(XNATConfigError, match=re.escape(other.url)):
            connect()
        assert LOGIN not in paths(other)


def test_S020_a_redirect_within_the_server_finds_its_folder(connect: Connect) -> None:
    with StandIn(users={"admin": "admin"}, context="/xnat") as inner:
        root = inner.url.removesuffix("/xnat")
        inner.faults.add(Fault(path="^/$", redirect="/xnat/app/template/Login.vm"))
        session = connect(root)
        assert session.server == inner.url
        assert session.get("/data/projects", format="json").status_code == 200
        session.disconnect()


def test_S020_going_round_in_circles_ends(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="^/", redirect="/a/", times=20))
    with pytest.raises(xnat.exceptions.XNATError):
        connect()


def test_S022_without_detection_nothing_is_asked(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="^/$", redirect="https://other.invalid/", status=301))
    session = connect(detect_redirect=False)
    assert session.server == standin.url
    assert "/" not in paths(standin)


def test_S023_a_server_in_a_subdirectory(connect: Connect) -> None:
    with StandIn(users={"admin": "admin"}, context="/some/xnat") as server:
        server.add_project("P1")
        session = connect(server.url + "/", no_parse_model=False)
        assert session.server == server.url
        assert list(session.projects.keys()) == ["P1"]
        assert session.projects["P1"].external_uri().startswith(server.url + "/data/")
        session.disconnect()


def test_S024_requests_before_the_session_stands_have_timeouts(
    standin: StandIn, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    for path in ("^/$", LOGIN, "/data/auth"):
        standin.faults.clear()
        standin.faults.add(Fault(path=path, hang=True))
        begin = time.monotonic()
        with pytest.raises(XNATTimeoutError, match="no answer in time"):
            connect(default_timeout=0.2)
        assert time.monotonic() - begin < 5
    assert issubclass(XNATTimeoutError, XNATConnectionError)


def test_S024_what_is_no_XNAT_is_said_to_be_none(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path=LOGIN, body="<html><body>Welcome</body></html>", status=200))
    with pytest.raises(XNATLoginFailedError, match="XNAT server"):
        connect()


def test_S025_several_sessions_and_servers_do_not_disturb_each_other(
    standin: StandIn, connect: Connect
) -> None:
    standin.add_project("HERE")
    with StandIn(users={"ann": "ann"}) as other:
        other.add_project("THERE")
        here = connect(no_parse_model=False)
        there = connect(other.url, "ann", no_parse_model=False)
        again = connect("", "reader")
        for _ in range(2):
            assert list(here.projects) == ["HERE"]
            assert list(there.projects) == ["THERE"]
            assert here.classes.ProjectData is not there.classes.ProjectData
            assert here.classes.ProjectData.xnat_session is here
            assert there.projects["THERE"].xnat_session is there
        assert (here.logged_in_user, there.logged_in_user) == ("admin", "ann")
        again.disconnect()
        assert here.get("/data/projects", format="json").status_code == 200
        there.disconnect()
    close_all()


def test_S026_a_logger_of_one_s_own(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    mine = logging.getLogger("mine.only")
    with caplog.at_level("DEBUG", "mine.only"):
        session = connect(logger=mine)
        session.get("/data/projects", format="json")
    assert session.logger is mine
    assert {one.name for one in caplog.records if "/data/projects" in one.message} == {"mine.only"}


def test_S027_at_DEBUG_all_requests_are_shown(
    connect: Connect, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    session = connect(loglevel="DEBUG")
    session.get("/data/projects", format="json")
    shown = capsys.readouterr().err
    for path in (LOGIN, "/data/auth", "/data/projects: 200"):
        assert path in shown
    assert session.JSESSION not in shown


def test_S027_two_sessions_may_have_two_levels(connect: Connect) -> None:
    loud, quiet = connect(loglevel=logging.DEBUG), connect(loglevel="ERROR")
    assert loud.logger.isEnabledFor(logging.DEBUG)
    assert not quiet.logger.isEnabledFor(logging.WARNING)


def test_D12_nothing_is_shown_by_default(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    session = connect()
    session.get("/data/projects", format="json")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_S028_debug_logs_the_internals_too(connect: Connect) -> None:
    package = logging.getLogger("xnat_luigi")
    level = package.level
    try:
        session = connect(debug=True)
        assert session.debug is True
        assert package.level == logging.DEBUG
        assert session.logger.isEnabledFor(logging.DEBUG)
    finally:
        package.setLevel(level)


def test_S029_nothing_is_logged_twice_at_each_step(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        session = connect(no_parse_model=False)
        for _ in range(5):
            session.get("/data/projects", format="json")
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("xnat_luigi")]
    assert len(ours) == len(set(ours))
    assert len(ours) <= 3


def test_S030_S031_the_version_of_a_1_7_server(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="buildInfo", status=200, body='{"version":"1.7.3"}', headers={}))
    assert connect().xnat_version == "1.7.3"


def test_S031_F04_the_version_of_a_1_6_server(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="buildInfo", status=404))
    standin.faults.add(Fault(path="/data/version", status=200, body="1.6.5"))
    session = connect()
    assert session.xnat_version == "1.6.5"


def test_S045_S046_without_a_model_the_verbs_work_and_classes_do_not(
    standin: StandIn, connect: Connect
) -> None:
    standin.add_project("P1")
    session = connect(no_parse_model=True)
    assert not any("schemas" in path for path in paths(standin))
    assert session.get_json("/data/projects/P1")["items"][0]["data_fields"]["ID"] == "P1"
    for use in (lambda: session.classes, lambda: session.projects["P1"]):
        with pytest.raises(xnat.exceptions.XNATValueError, match="no_parse_model"):
            use()


def test_S256_S258_extension_types_false_reads_two_schemas(
    standin: StandIn, connect: Connect
) -> None:
    session = connect(no_parse_model=False, extension_types=False)
    read = {path for path in paths(standin) if path.startswith("/xapi/schemas/")}
    assert read == {"/xapi/schemas/xnat", "/xapi/schemas/xdat"}
    assert session.classes.MrSessionData.__name__ == "MrSessionData"


def test_connecting_again_takes_five_requests(standin: StandIn, connect: Connect) -> None:
    connect(no_parse_model=False)
    before = len(standin.requests)
    connect(no_parse_model=False)
    assert len(standin.requests) - before <= 5


def test_a_connect_that_fails_leaves_no_session_behind(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="/xapi/schemas", replace="<html>no</html>"))
    with pytest.raises(XNATPageError):
        connect(no_parse_model=False)
    assert standin.state.users.count_sessions("admin") == 0


def test_F04_a_1_6_server_gives_its_classes_too(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="^/xapi/", status=404))
    standin.faults.add(Fault(path="/data/version", status=200, body="1.6.5"))
    standin.add_project("P1")
    session = connect(no_parse_model=False)
    assert session.xnat_version == "1.6.5"
    assert list(session.projects) == ["P1"]
    assert session.classes.MrSessionData.__name__ == "MrSessionData"


def test_S071_no_default_timeout_leaves_the_policy(standin: StandIn, connect: Connect) -> None:
    session = connect(default_timeout=None)
    assert session.request_timeout is None
    assert session.connection.policy.listing == 300
    assert session.get("/data/projects", format="json").status_code == 200


def test_S020_A1_3_from_https_to_http_is_refused(
    tls: str, standin: StandIn, connect: Connect, tmp_path: Path
) -> None:
    standin.faults.add(Fault(path="^/$", redirect=standin.url + "/", status=301))
    with pytest.raises(XNATConfigError, match="not encrypted"):
        connect(tls, verify=str(tmp_path / "certificate.pem"))
    assert LOGIN not in paths(standin)


def test_S027_a_message_is_shown_once_where_the_logging_is_set_up(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        connect(loglevel="DEBUG").get("/data/projects", format="json")
    shown = [one for one in caplog.records if one.getMessage().endswith("/data/projects: 200")]
    assert len(shown) == 1
