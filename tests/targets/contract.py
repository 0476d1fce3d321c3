"""What every target must do. Derive a class, say which targets are there and which are not."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
from typing import Any

import luigi
import pytest

from xnat_luigi.connection.registry import close_all
from xnat_luigi.exceptions import XNATError
from xnat_luigi.standin import Fault, StandIn

__all__ = ["RemoteContract", "TargetContract"]


def _exists(target: Any, answers: Any) -> None:
    answers.put(target.exists())


class TargetContract:
    """The contract of all kinds. Subclasses override the fixtures `present` and `absent`."""

    @pytest.fixture
    def present(self) -> Any:
        """A target that exists."""
        raise NotImplementedError

    @pytest.fixture
    def absent(self) -> Any:
        """A target of the same kind that does not."""
        raise NotImplementedError

    def test_there_is_true(self, present: luigi.Target) -> None:
        assert present.exists() is True

    def test_not_there_is_false(self, absent: luigi.Target) -> None:
        assert absent.exists() is False

    def test_it_is_made_of_strings(self, present: Any) -> None:
        values = [getattr(present, field.name) for field in dataclasses.fields(present)]
        assert all(type(value) in (str, bool) for value in values)
        assert set(vars(present)) == {field.name for field in dataclasses.fields(present)}

    def test_it_travels(self, present: Any, absent: Any) -> None:
        again = pickle.loads(pickle.dumps(present))
        assert again == present
        assert hash(again) == hash(present)
        assert present != absent
        assert again.exists() is True

    def test_it_keeps_nothing_of_a_question(self, present: Any) -> None:
        before = pickle.dumps(present)
        present.exists()
        assert pickle.dumps(present) == before

    #: how children are started; what travels (above) works in all ways, so one class tries both
    methods = ("fork",)

    def test_it_answers_in_a_child(self, present: Any) -> None:
        for method in self.methods:
            self._ask_in_a_child(present, method)

    def _ask_in_a_child(self, present: Any, method: str) -> None:
        present.exists()
        context = multiprocessing.get_context(method)
        answers = context.SimpleQueue()
        child = context.Process(target=_exists, args=(present, answers))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert answers.get() is True
        assert present.exists() is True


class RemoteContract(TargetContract):
    """The contract of targets on a server: whatever is no answer is an error, never «absent»."""

    def test_T1_an_outage_is_an_error(self, present: Any, absent: Any, archive: StandIn) -> None:
        archive.faults.add(Fault(path=".*", status=503))
        for target in (present, absent):
            with pytest.raises(XNATError):
                target.exists()

    def test_T1_a_broken_server_is_an_error(self, absent: Any, archive: StandIn) -> None:
        archive.faults.add(Fault(path="/data/(projects|experiments|prearchive).*", status=500))
        with pytest.raises(XNATError):
            absent.exists()

    def test_T1_a_cut_answer_is_an_error(self, present: Any, archive: StandIn) -> None:
        archive.faults.add(Fault(path="/data/(projects|experiments|prearchive).*", cut=20))
        with pytest.raises(XNATError):
            present.exists()

    def test_T1_nobody_there_is_an_error(self, present: Any, archive: StandIn) -> None:
        close_all()
        archive.stop()
        with pytest.raises(XNATError) as caught:
            present.exists()
        assert caught.value.exit_status == 5

    def test_it_says_nothing_secret(self, present: Any, login: tuple[str, str]) -> None:
        present.exists()
        assert login[1] not in repr(present)
        assert login[1].encode() not in pickle.dumps(present)
