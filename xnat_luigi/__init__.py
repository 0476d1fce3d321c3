"""xnat_luigi: XNAT imaging archives as a Luigi data source, and a documented client.

Importing the package is cheap: nothing of Luigi, lxml, pydicom or the HTTP library is loaded until
it is needed. `xnat_luigi.connect` and the modules of the documented client (`xnat_luigi.session`,
`xnat_luigi.exceptions`, ...) are there as attributes and imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from ._connect import connect

__all__ = ["__version__", "connect"]

_MODULES = frozenset(
    {
        "classes",
        "core",
        "exceptions",
        "inspect",
        "mixin",
        "prearchive",
        "search",
        "services",
        "session",
        "users",
    }
)


def __getattr__(name: str) -> Any:
    if name == "connect":
        from ._connect import connect

        globals()["connect"] = connect
        return connect
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
