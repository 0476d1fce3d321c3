"""Checks that need pixel data: readable, and not one colour all over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..dicom import Header
from .material import Material, SeriesFiles
from .rules import Rules
from .verdicts import PASS, WARN, Finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class NoDecoderError(Exception):
    """Pixel data cannot be decoded here; the message says which decoder is missing."""


def pixel_array(dataset: Dataset) -> Any:
    """The pixel data as a numpy array.

    Raises NoDecoderError when no installed package can decode the transfer syntax or numpy is
    missing, ValueError when the pixel data are damaged.
    """
    try:
        return dataset.pixel_array
    except (NotImplementedError, ImportError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if "decompress" in text or "decoder" in text or "plugin" in text or "NumPy" in text:
            syntax = getattr(dataset.file_meta, "TransferSyntaxUID", "")
            name = getattr(syntax, "name", str(syntax))
            raise NoDecoderError(f"no decoder for {name!r} is installed: {text[:300]}") from None
        raise ValueError(text or type(error).__name__) from None
    except (
        Exception
    ) as error:  # whatever a decoder raises for damaged bytes is a finding, not a crash
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def sample(headers: tuple[Header, ...], count: int) -> tuple[Header, ...]:
    """`count` of the files, spread evenly with the middle one among them; 0 means all."""
    if count <= 0 or count >= len(headers):
        return headers
    if count == 1:
        return (headers[len(headers) // 2],)
    last = len(headers) - 1
    return tuple(headers[round(index * last / (count - 1))] for index in range(count))


def check_pixels(rules: Rules, material: Material) -> Iterator[Finding]:
    """Readable and not constant, for a sample of every series that has pixel data."""
    for series in material.series:
        images = tuple(header for header in series.headers if header.pixel_bytes is not None)
        if images:
            yield from _check_series(rules, material, series, sample(images, rules.pixels_sample))


def _check_series(
    rules: Rules, material: Material, series: SeriesFiles, images: tuple[Header, ...]
) -> Iterator[Finding]:
    broken: list[str] = []
    constant: list[str] = []
    missing = reason = ""
    for header in images:
        try:
            array = pixel_array(material.dataset(header))
        except NoDecoderError as error:
            missing = str(error)
            break
        except (ValueError, OSError, EOFError, AttributeError) as error:
            broken.append(header.path)
            reason = reason or str(error)
            continue
        if array.size and array.min() == array.max():
            constant.append(header.path)
    looked = f"{len(images)} of {len(series.headers)} files looked at"
    if missing:
        message = f"{series}: not looked at, {missing}"
        yield Finding("pixels: readable", WARN, message, "no decoder", "readable", series.uid)
        return
    if rules.pixels_readable:
        rule, wanted = "pixels: readable", "readable"
        if broken:
            message = f"{series}: {len(broken)} of {len(images)} cannot be read: {reason}"
            severity = rules.pixels_readable
            yield Finding(rule, severity, message, reason, wanted, series.uid, tuple(broken))
        else:
            yield Finding(rule, PASS, f"{series}: {looked}", wanted, wanted, series.uid)
    if rules.pixels_constant:
        rule, wanted = "pixels: constant", "varying"
        if constant:
            message = f"{series}: {len(constant)} of {len(images)} images are one grey all over"
            severity = rules.pixels_constant
            yield Finding(rule, severity, message, "constant", wanted, series.uid, tuple(constant))
        else:
            yield Finding(rule, PASS, f"{series}: {looked}", wanted, wanted, series.uid)
