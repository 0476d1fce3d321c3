"""A stand-in XNAT server for tests: ours, and those of people who write pipelines for XNAT.

Needs the extra `standin` (aiohttp). `StandIn` starts it in a thread of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import Fault, Faults
    from .server import RequestRecord, StandIn

__all__ = ["Fault", "Faults", "RequestRecord", "StandIn"]


def __getattr__(name: str) -> Any:
    # aiohttp is imported when a server is wanted, not with the package.
    if name in ("StandIn", "RequestRecord"):
        from . import server

        return getattr(server, name)
    if name in ("Fault", "Faults"):
        from . import faults

        return getattr(faults, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
