"""The documents of intake and QC are run: their files are written, their commands typed, and the
lines they show must come.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.material import make_study, series_of
from xnat_luigi.intake.naming import read_naming
from xnat_luigi.intake.policy import read_policies
from xnat_luigi.qc import rules as rules_module
from xnat_luigi.qc.checks import check_study
from xnat_luigi.qc.explain import explain
from xnat_luigi.qc.rules import read_rules

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
_FILE = re.compile(r"# file: (\S+)\n")


@dataclass
class Step:
    """A shell block and the lines that the text shows after it."""

    command: str
    shown: list[str]


def write_files(text: str, folder: Path) -> None:
    """Blocks that begin with `# file: NAME`."""
    for _, body in _BLOCK.findall(text):
        named = _FILE.match(body)
        if named:
            (folder / named[1]).write_text(body)


def steps(text: str) -> Iterator[Step]:
    found: list[Step] = []
    for language, body in _BLOCK.findall(text):
        if language == "sh":
            found.append(Step(body, []))
        elif language == "text":
            found[-1].shown += [line for line in body.splitlines() if line.strip()]
    yield from found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def comes(line: str, said: str) -> bool:
    """Whether a line of the text is in the output; … stands for anything, spaces for any space."""
    parts = [re.escape(part) for part in re.split(r"…", line.strip())]
    pattern = ".*".join(parts).replace("\\ ", " ")
    return re.search(re.sub(r" +", r"\\s+", pattern), said) is not None


def test_the_tutorial(tmp_path: Path) -> None:
    text = (DOCS / "tutorial-archive.md").read_text()
    text = text.replace("8104", str(free_port()))
    write_files(text, tmp_path)
    script = "".join(f"{step.command}\necho '@@@'\n" for step in steps(text))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parent),
        "HOME": str(tmp_path),
    }
    environment.pop("NETRC", None)
    done = subprocess.run(
        ["bash", "-m", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    outputs = done.stdout.split("@@@\n")
    for step, said in zip(steps(text), outputs, strict=False):
        missing = [line for line in step.shown if not comes(line, said)]
        assert not missing, f"{step.command}\ndoes not say {missing} but\n{said}"
    assert len(outputs) == len(list(steps(text))) + 1, done.stdout[-2000:]
    assert "Traceback" not in done.stdout


def test_the_files_of_the_reference_are_understood(tmp_path: Path) -> None:
    """Naming rules, policy and QC rules as the pages show them."""
    for page in ("intake.md", "qc.md"):
        write_files((DOCS / page).read_text(), tmp_path)
    (tmp_path / "map.csv").write_text("key,project,subject,session\nA,P,S,S_MR1\n")
    assert len(read_naming(tmp_path / "naming.toml")) == 3
    assert len(read_naming(tmp_path / "pseudonyms.toml")) == 1
    policies = read_policies(tmp_path / "policy.toml")
    assert policies.of("P1").delete_source and policies.of("P3").on_fail == "delete"
    rules = read_rules(tmp_path / "rules.toml")
    assert [rule.name for rule in rules.series] == ["T1", "^(?i:localizer|scout)"]
    assert "diffusion" in explain(rules)


def test_ones_own_check_of_the_reference_works(tmp_path: Path) -> None:
    write_files((DOCS / "qc.md").read_text(), tmp_path)
    study = make_study(
        tmp_path / "in",
        subject="SUBJ1",
        session="SUBJ1_MR1",
        series=series_of(("ep2d_DWI",), slices=2),
        side=64,
    )
    rules = read_rules(tmp_path / "rules.toml")
    verdict = check_study(study.files, rules, subject="SUBJ1", session="SUBJ1_MR1")
    (found,) = [finding for finding in verdict.findings if finding.rule == "diffusion"]
    assert found.status == "warn" and "2 directions" in found.message


def test_every_table_and_word_of_the_rules_is_in_the_reference() -> None:
    """Words that `rules.py` reads and the page does not name."""
    code = Path(rules_module.__file__).read_text()
    read = set(
        re.findall(
            r"\.(?:text|texts|table|tables|keywords|pattern|severity|choice|flag|number|whole|span"
            r'|maybe_flag|optional)\(\s*"(\w+)"',
            code,
        )
    )
    page = (DOCS / "qc.md").read_text()
    assert len(read) > 25
    assert {word for word in read if word not in page} <= {"fields", "empty_severity"}
