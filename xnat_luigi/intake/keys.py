"""What a study is called on its way in, and the errors that end the way."""

from __future__ import annotations

from dataclasses import dataclass

from .. import uris
from ..exceptions import XNATError, XNATTimeoutError


@dataclass(frozen=True, slots=True, order=True)
class StudyKey:
    """The identity of a study on one server: everything that must be the same to be «the same
    study».

    project: project ID. study_uid: StudyInstanceUID, the prearchive row's `tag`. subject, session:
    the labels it shall have. Labels outside `[A-Za-z0-9_-]` are refused here, before anything is
    sent: the server would clean them at archive time and the session would be called something else
    (wire contract B 3.2). Raises XNATUnsafeNameError.
    """

    project: str
    study_uid: str
    subject: str
    session: str

    def __post_init__(self) -> None:
        uris.check_label(self.project, "project ID")
        uris.check_label(self.subject, "subject label")
        uris.check_label(self.session, "session label")

    def __str__(self) -> str:
        return f"session {self.session} of project {self.project} (study {self.study_uid})"


class StudyHeldError(XNATError):
    """A study cannot go on without a human. `reason` is one sentence, `log` the server's own
    words.
    """

    exit_status = 1

    def __init__(self, key: StudyKey, reason: str, log: str = "") -> None:
        self.key = key
        self.reason = reason
        self.log = log
        said = f"; the server says: {log}" if log else ""
        super().__init__(f"{key} is held: {reason}{said}")


class StudyLostError(StudyHeldError):
    """A study that was on the server is neither in the prearchive nor in the archive any more."""


class StudyTimeoutError(XNATTimeoutError):
    """The server did not finish in time; nothing is wrong yet. Asking again later is safe."""
