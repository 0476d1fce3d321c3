"""Small pictures of a series: window from the header, the middle and spread slices.

Needs numpy and Pillow (extra `qc`). What cannot be decoded gives a sentence in place of a picture,
never an
error: a report without pictures is better than none.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..dicom import Header
from .material import Material, SeriesFiles
from .pixels import NoDecoderError, pixel_array, sample

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SIDE = 128
COUNT = 5


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture: PNG bytes and what it shows; without bytes `caption` says why there is none."""

    png: bytes
    caption: str

    @property
    def data_uri(self) -> str:
        """For an HTML page that needs no network."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def make_strip(
    material: Material, series: SeriesFiles, *, count: int = COUNT, side: int = SIDE
) -> list[Thumbnail]:
    """Pictures of one series, spread from the first to the last slice with the middle one among
    them.

    count: how many. side: longest side in pixels. Series without pixel data give one sentence.
    """
    images = tuple(header for header in series.headers if header.pixel_bytes is not None)
    if not images:
        return [Thumbnail(b"", f"{len(series.headers)} files without pixel data")]
    if len(images) == 1:
        return _frames(material, images[0], count, side)
    return [
        strip for header in sample(images, count) for strip in _frames(material, header, 1, side)
    ]


def _frames(material: Material, header: Header, count: int, side: int) -> list[Thumbnail]:
    """Pictures of one file; several when it holds many frames and several are asked for."""
    name = f"image {header.get('InstanceNumber') or '?'}"
    try:
        dataset = material.dataset(header)
        array = pixel_array(dataset)
        frames = _split(array, dataset)
        places = _spread(len(frames), count)
        return [
            Thumbnail(
                _draw(frames[place], dataset, side),
                name if len(frames) == 1 else f"{name}, frame {place + 1} of {len(frames)}",
            )
            for place in places
        ]
    except NoDecoderError as error:
        return [Thumbnail(b"", f"{name}: {error}")]
    except ImportError as error:
        return [Thumbnail(b"", f"{name}: no picture, {error}; install xnat-luigi[qc]")]
    except (ValueError, OSError, EOFError, AttributeError, TypeError, IndexError) as error:
        return [Thumbnail(b"", f"{name}: no picture, the pixel data are damaged ({error})")]


def _split(array: Any, dataset: Dataset) -> list[Any]:
    """The frames of a pixel array: 2-D grey or 3-D colour each."""
    colour = int(dataset.get("SamplesPerPixel", 1) or 1) > 1
    if array.ndim == (3 if colour else 2):
        return [array]
    return list(array)


def _spread(total: int, count: int) -> list[int]:
    if count >= total:
        return list(range(total))
    if count == 1:
        return [total // 2]
    return sorted({round(index * (total - 1) / (count - 1)) for index in range(count)})


def _draw(frame: Any, dataset: Dataset, side: int) -> bytes:
    from PIL import Image

    image = Image.fromarray(_grey(frame, dataset) if frame.ndim == 2 else _colour(frame, dataset))
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _colour(frame: Any, dataset: Dataset) -> Any:
    import numpy as np
    from pydicom.pixels.processing import convert_color_space

    kind = str(dataset.get("PhotometricInterpretation", "RGB"))
    if kind.startswith("YBR"):
        frame = convert_color_space(frame, "YBR_FULL", "RGB")
    if frame.dtype == np.uint8:
        return frame
    top = float(frame.max()) or 1.0
    return (frame.astype("float32") * (255.0 / top)).astype("uint8")


def _grey(frame: Any, dataset: Dataset) -> Any:
    """0 to 255 after the header's window, or after the 1st and 99th percentile where it has
    none.
    """
    import numpy as np

    slope = _first_number(dataset.get("RescaleSlope"), 1.0)
    values = frame.astype("float32") * slope + _first_number(dataset.get("RescaleIntercept"), 0.0)
    centre = _first_number(dataset.get("WindowCenter"), None)
    width = _first_number(dataset.get("WindowWidth"), None)
    if centre is None or width is None or width <= 0:
        low, high = (float(v) for v in np.percentile(values, (1, 99)))
    else:
        low, high = centre - width / 2, centre + width / 2
    if high <= low:
        high = low + 1
    scaled = np.clip((values - low) / (high - low), 0, 1)
    if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        scaled = 1 - scaled
    return (scaled * 255).astype("uint8")


def _first_number(value: Any, default: Any) -> Any:
    """The first of possibly several values (a header may hold several windows)."""
    if value is None or value == "":
        return default
    try:
        return float(value)
    except TypeError:
        try:
            return float(value[0])
        except (TypeError, IndexError, ValueError):
            return default
    except ValueError:
        return default
