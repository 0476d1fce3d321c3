"""Measures of quality follow what is in the images; the table finds what is odd."""

from __future__ import annotations

import numpy
import pytest

from pipelines.quality import measure
from pipelines.table import find_outliers


def phantom(noise: float, seed: int = 1) -> numpy.ndarray:
    grid = numpy.indices((32, 32, 8))
    ball = ((grid[0] - 16) ** 2 + (grid[1] - 16) ** 2) < 64
    chance = numpy.random.default_rng(seed)
    return 1000.0 * ball + chance.normal(0.0, noise, ball.shape)


def test_more_noise_is_less_signal_to_noise() -> None:
    values = [measure(phantom(noise))["snr"] for noise in (5, 10, 20)]
    assert values[0] > 1.8 * values[1] > 3.2 * values[2]
    assert values[0] == pytest.approx(1000 / 5, rel=0.1)


def test_a_ghost_is_seen() -> None:
    clean = phantom(5)
    ghost = clean + 0.05 * numpy.roll(clean, 16, axis=1)
    assert measure(ghost)["ghosting"] > 5 * abs(measure(clean)["ghosting"])


def test_motion_is_measured_in_voxels() -> None:
    volume = phantom(0)
    still = numpy.stack([volume] * 4, axis=-1)
    moving = numpy.stack([numpy.roll(volume, step, axis=0) for step in range(4)], axis=-1)
    assert measure(still)["motion"] == 0
    assert measure(moving)["motion"] == pytest.approx(1.0, abs=0.01)
    assert measure(volume)["motion"] == 0


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 4, 2)])
def test_an_empty_image_gives_numbers(shape: tuple[int, ...]) -> None:
    assert set(measure(numpy.zeros(shape)).values()) >= {0.0}


def test_outliers_are_far_from_the_median() -> None:
    rows = [{"snr": value} for value in (10.0, 10.1, 9.9, 10.2, 9.8, 30.0)]
    assert find_outliers(rows, ["snr"], 3.5) == {(5, "snr")}
    assert find_outliers([{"snr": 1.0}] * 5, ["snr"], 3.5) == set()
