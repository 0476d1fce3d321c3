"""Luigi's own settings where they would hide a failure, changed only where the user said nothing.

Out of the box `luigi` ends with status 0 after failures, believes a `run()` that left no output and
tries again without end. Importing `xnat_luigi.tasks` calls `apply_defaults()`, early enough for
`luigi --module xnat_luigi.tasks ...`, which imports the module before it reads these sections.
"""

from __future__ import annotations

from typing import Protocol

from luigi.configuration import get_config

__all__ = ["DEFAULTS", "apply_defaults"]

DEFAULTS: dict[str, dict[str, str]] = {
    "retcode": {
        "task_failed": "1",
        "missing_data": "3",
        "unhandled_exception": "4",
        "scheduling_error": "5",
        "not_run": "8",
        "already_running": "9",
    },
    "worker": {"check_complete_on_run": "true"},
    "scheduler": {"retry_count": "3"},
    # A task asking for an undeclared resource gets a limit of 1. Only the local scheduler reads
    # this one: a central luigid has its own configuration.
    "resources": {"xnat": "4"},
}


class _Config(Protocol):
    def has_option(self, section: str, option: str) -> bool: ...

    def set(self, section: str, option: str, value: str) -> None: ...


def apply_defaults(config: _Config | None = None) -> list[str]:
    """Sets what the user's configuration leaves open.

    Args:
        config: a Luigi configuration; that of this process when not given.

    Returns:
        `section.option` of every setting made, so that a caller can say so.
    """
    target: _Config = config if config is not None else get_config()  # type: ignore[no-untyped-call]
    made = []
    for section, options in DEFAULTS.items():
        for option, value in options.items():
            if not target.has_option(section, option):
                _put(target, section, option, value)
                made.append(f"{section}.{option}")
    return made


def _put(config: _Config, section: str, option: str, value: str) -> None:
    has_section = getattr(config, "has_section", None)
    if has_section is not None and not has_section(section):
        config.add_section(section)  # type: ignore[attr-defined]
    config.set(section, option, value)
