"""Schemas for the tests: our own, a site's real ones where they are at hand, and made-up ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from xnat_luigi.standin.schemas import schema_bytes, schema_names

XS = "http://www.w3.org/2001/XMLSchema"
REAL = "XNAT_LUIGI_SCHEMAS"


def own_schemas() -> dict[str, bytes]:
    """What the stand-in serves."""
    return {name: schema_bytes(name) or b"" for name in schema_names()}


def real_schemas() -> dict[str, bytes]:
    """xdat.xsd and xnat.xsd of a real site, or the test is skipped."""
    folder = Path(os.environ.get(REAL) or Path(__file__).parents[3] / "shared" / "schemas")
    if not (folder / "xnat.xsd").is_file():
        pytest.skip(f"no schemas of a real site: set {REAL} to a folder with xnat.xsd and xdat.xsd")
    return {name: (folder / f"{name}.xsd").read_bytes() for name in ("xdat", "xnat")}


def schema(
    body: str,
    prefix: str = "x",
    namespace: str = "urn:x",
    more: Iterable[tuple[str, str]] = (),
    encoding: str = "UTF-8",
) -> bytes:
    """A small schema around some declarations."""
    others = "".join(f' xmlns:{mark}="{uri}"' for mark, uri in more)
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        f'<xs:schema xmlns:xs="{XS}" xmlns:xdat="http://nrg.wustl.edu/xdat" '
        f'xmlns:{prefix}="{namespace}"{others} targetNamespace="{namespace}">{body}</xs:schema>'
    )
    return text.encode(encoding)


def of_type(name: str, body: str = "", base: str = "") -> str:
    """A complex type with a name, with or without a base."""
    inner = f"<xs:sequence>{body}</xs:sequence>" if body else ""
    if base:
        inner = (
            f'<xs:complexContent><xs:extension base="{base}">{inner}</xs:extension>'
            "</xs:complexContent>"
        )
    return f'<xs:complexType name="{name}">{inner}</xs:complexType>'
