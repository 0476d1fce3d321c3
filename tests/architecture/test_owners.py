"""Each danger has one owner outside the stand-in (docs/architecture.md)."""

from __future__ import annotations

import ast

import pytest

from .source import Module, called, imported, modules

MODULE_OWNERS = {
    "requests": {"xnat_luigi/connection/transport.py"},
    "urllib3": {"xnat_luigi/connection/transport.py", "xnat_luigi/connection/sockets.py"},
    "netrc": {"xnat_luigi/connection/credentials.py"},
    "lxml": {"xnat_luigi/safexml.py"},
    "filelock": {"xnat_luigi/staging/lock.py"},
    "fcntl": {"xnat_luigi/staging/lock.py"},
    "stream_unzip": set(),
    "zipfile": {"xnat_luigi/staging/unpack.py", "xnat_luigi/staging/pack.py"},
    "tarfile": {"xnat_luigi/staging/pack.py"},
}
NOWHERE = {"pickle", "cPickle", "marshal", "shelve"}
SAVERS = {"xnat_luigi/staging/save.py"}
WRITING_METHODS = {"write_text", "write_bytes"}
RENAMING = {"os.rename", "os.replace", "os.fsync", "os.fdatasync", "shutil.move"}


def rest() -> list[Module]:
    return [module for module in modules() if not module.in_standin]


@pytest.mark.parametrize("name", sorted(MODULE_OWNERS))
def test_a_dangerous_module_is_imported_by_its_owner_only(name: str) -> None:
    importers = {m.path for m in rest() for _, found in imported(m.tree) if found == name}
    assert importers <= MODULE_OWNERS[name], f"{name} is imported by {importers}"


def test_requests_and_lxml_have_an_owner_that_exists() -> None:
    importers = {found for m in rest() for _, found in imported(m.tree)}
    assert {"requests", "lxml", "filelock"} <= importers


def test_nothing_is_pickled_or_executed() -> None:
    faults = [
        f"{m.path}:{line} imports {name}"
        for m in modules()
        for line, name in imported(m.tree)
        if name in NOWHERE
    ]
    faults += [
        f"{m.path}:{line} calls {name}"
        for m in modules()
        for line, name in called(m.tree)
        if name in {"exec", "eval", "compile", "__import__"}
    ]
    assert not faults


def test_files_are_renamed_and_synced_in_one_place() -> None:
    faults = [
        f"{m.path}:{line} calls {name}"
        for m in rest()
        if m.path not in SAVERS
        for line, name in called(m.tree)
        if name in RENAMING
    ]
    assert not faults


def _writes(call: ast.Call) -> bool:
    mode: ast.expr | None = None
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        mode = call.args[1] if len(call.args) > 1 else None
    else:
        return isinstance(call.func, ast.Attribute) and call.func.attr in WRITING_METHODS
    for keyword in call.keywords:
        if keyword.arg == "mode":
            mode = keyword.value
    return isinstance(mode, ast.Constant) and any(c in str(mode.value) for c in "wax+")


def test_files_are_opened_for_writing_in_one_place() -> None:
    faults = [
        f"{m.path}:{node.lineno}"
        for m in rest()
        if m.path not in SAVERS
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Call) and _writes(node)
    ]
    assert not faults, "write through staging/save.py"


def test_nothing_is_printed_outside_the_command_line() -> None:
    faults = [
        f"{m.path}:{line}"
        for m in modules()
        if not m.path.startswith("xnat_luigi/cli/")
        for line, name in called(m.tree)
        if name == "print"
    ]
    assert not faults


def test_no_bare_except() -> None:
    faults = [
        f"{m.path}:{node.lineno}"
        for m in modules()
        for node in ast.walk(m.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not faults


def test_tarballs_are_never_extracted() -> None:
    faults = [
        f"{m.path}:{line}"
        for m in rest()
        for line, name in called(m.tree)
        if name.endswith((".extractall", ".extract")) or name == "shutil.unpack_archive"
    ]
    assert not faults


def test_addresses_are_built_in_one_place() -> None:
    """Literal REST paths with something put into them belong to uris.py."""
    faults = []
    for module in rest():
        if module.path == "xnat_luigi/uris.py":
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.JoinedStr) and node.values:
                first = node.values[0]
                if isinstance(first, ast.Constant) and str(first.value).startswith(
                    ("/data/", "/xapi/", "/REST/")
                ):
                    faults.append(f"{module.path}:{node.lineno}")
    assert not faults
