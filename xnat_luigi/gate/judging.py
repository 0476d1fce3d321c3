"""A rule file, the headers of a study, and what comes of them: verdict, page, files to keep.

Plain functions, no Luigi: `QCSession`, `ArchiveReady` and the command line judge through this one
place. It stands here because `intake` and `qc` know nothing of each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..dicom import Header
from ..intake.journey import Judgement, Notes
from ..intake.keys import StudyKey
from ..qc.checks import check_files, check_study
from ..qc.material import Material, make_material
from ..qc.report import Strip, make_strips, write_index, write_report
from ..qc.rules import Rules, read_rules
from ..qc.verdicts import PASS, STATUSES, Verdict
from ..staging.save import make_folder, save_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Judging", "judge_headers", "series_statuses"]


def judge_headers(
    headers: Sequence[Header],
    rules: Rules | None,
    *,
    subject: str = "",
    session: str = "",
    study_uid: str = "",
    patient_id: str = "",
    open_file: Callable[[Header], Dataset] | None = None,
) -> tuple[Material, Verdict]:
    """What is checked, and what the rules (or the first gate alone) say of it.

    Raises RulesError when one's own check cannot be loaded; everything else is a finding.
    """
    material = make_material(
        headers,
        fields=rules.fields if rules is not None else (),
        subject=subject,
        session=session,
        study_uid=study_uid,
        open_file=open_file,
    )
    if rules is None:
        verdict = check_files(material.headers, study_uid=study_uid, patient_id=patient_id)
    else:
        verdict = check_study(material, rules, patient_id=patient_id)
    return material, verdict


def series_statuses(material: Material, verdict: Verdict) -> dict[str, str]:
    """SeriesNumber -> the worst finding about that series, for the quality of its scan."""
    found: dict[str, str] = {}
    for series in material.series:
        mine = [f.status for f in verdict.findings if f.series == series.uid]
        worst = max(mine, key=STATUSES.index, default=PASS)
        number = series.number
        found[number] = max((found.get(number, PASS), worst), key=STATUSES.index)
    return found


@dataclass(frozen=True)
class Judging:
    """A judge for `intake.journey`: rules of a file, reports below a folder.

    rules: TOML file, "" for the first gate alone. reports: folder of the pages and their index, ""
    to write none. thumbnails: pictures a series.
    """

    rules: str = ""
    reports: str = ""
    thumbnails: int = 5

    @property
    def fields(self) -> tuple[str, ...]:
        """Keywords that must be read from the headers."""
        return read_rules(self.rules).fields if self.rules else ()

    @property
    def version(self) -> str:
        """Changes with the text of the rule file."""
        if not self.rules:
            return ""
        read_rules(self.rules)  # a file that cannot be used is said before anything is done
        return hashlib.sha256(Path(self.rules).read_bytes()).hexdigest()[:16]

    def __call__(
        self,
        key: StudyKey,
        headers: Sequence[Header],
        open_file: Callable[[Header], Dataset] | None = None,
    ) -> Judgement:
        """The judgement of a study; its page is written at once."""
        rules = read_rules(self.rules) if self.rules else None
        material, verdict = judge_headers(
            headers,
            rules,
            subject=key.subject,
            session=key.session,
            study_uid=key.study_uid,
            open_file=open_file,
        )

        # Made once and now: when the report is written again, the files may be archived.
        strips = make_strips(material, thumbnails=self.thumbnails) if self.reports else ()

        def report(notes: Notes) -> tuple[Path, ...]:
            return self._write(key, material, verdict, rules, notes, strips)

        report(())
        return Judgement(
            verdict.status,
            verdict.reasons,
            series_statuses(material, verdict),
            verdict.to_dict(),
            report,
        )

    def write_index(self) -> None:
        """The index over all pages; once after a run, since it reads them all."""
        if self.reports and Path(self.reports).is_dir():
            write_index(self.reports)

    def _write(
        self,
        key: StudyKey,
        material: Material,
        verdict: Verdict,
        rules: Rules | None,
        notes: Notes,
        strips: Sequence[Strip],
    ) -> tuple[Path, ...]:
        if not self.reports:
            return ()
        page = write_report(
            self.reports,
            material,
            verdict,
            rules,
            project=key.project,
            notes=notes,
            strips=strips,
            index=False,
        )
        files = [page, page.with_suffix(".json")]
        if self.rules:
            copy = Path(self.reports) / "rules" / self.version / "rules.toml"
            make_folder(copy.parent)
            save_text(copy, Path(self.rules).read_text(encoding="utf-8"))
            files.append(copy)
        return tuple(files)
