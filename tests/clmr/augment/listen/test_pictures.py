"""Pictures show levels and frequencies where their axes say they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.image import imread

from clmr.augment.listen.figures import BOTTOM, DOTS_PER_INCH, LEFT, PANEL_WIDTH, draw_spectrograms, draw_waveforms
from clmr.augment.listen.heard import Clip, Heard
from clmr.augment.listen.pictures import BANDS, COLOURS, Scale, Spectrograms, bare_picture, scale_of
from clmr.augment.listen.png import palette_png
from clmr.augment.listen.waveform import HEIGHT, loudest, outline
from tests.clmr.augment.signals import RATES, extremes, tone


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_tone_is_at_its_height_and_level(sample_rate: int) -> None:
    spectrograms = Spectrograms(sample_rate)
    for hz in (200, 500, 1000, 2000, 3500):
        decibels = spectrograms(tone(hz, sample_rate, sample_rate).float())[0, 0]
        column = decibels[:, decibels.shape[1] // 2]
        assert abs((column.argmax().item() + 0.5) / BANDS - spectrograms.height(hz)) < 1.5 / BANDS
        assert column.max().item() == pytest.approx(0, abs=4)  # a band's triangle passes between half and all of it


def test_the_marks_rise_and_end_below_half_the_rate() -> None:
    for sample_rate, last in ((22050, "10k"), (8000, "2k")):
        heights, names = zip(*Spectrograms(sample_rate).marks(), strict=True)
        assert list(heights) == sorted(heights)
        assert 0 < heights[0] < heights[-1] < 1
        assert names[-1] == last


def test_extremes_have_finite_pictures() -> None:
    spectrograms = Spectrograms(8000)
    for row in extremes(8000)[:, 0]:
        decibels = spectrograms(row)
        assert decibels.isfinite().all()
        assert bare_picture(decibels, scale_of(decibels))


def test_a_picture_has_the_colours_of_its_scale_with_the_lowest_band_below() -> None:
    scale = Scale(top=-10)
    decibels = torch.tensor([[-200.0, -90.0], [-50.0, -10.0], [-30.0, 20.0]])
    pixels = imread(io.BytesIO(bare_picture(decibels, scale)))
    shares = ((decibels.flip(0) + 90) / 80).clamp(0, 1).numpy()
    assert pixels.shape == (3, 2, 4)
    assert np.abs(pixels - colormaps[COLOURS](shares)).max() < 1 / 255


@pytest.mark.parametrize("seconds", [1, 3, 6])
def test_the_numbers_of_neighbouring_panels_stand_apart(seconds: int) -> None:
    before = tone(440, 8000, seconds * 8000).float()[0, 0]
    heard = Heard("slug", "Title", "", "gain", (Clip("low", "a", before), Clip("high", "b", before)))
    spectrograms = Spectrograms(8000)
    drawn = draw_spectrograms(heard, before, spectrograms, scale_of(spectrograms(before)))
    for picture in (drawn, draw_waveforms(heard, before, 8000)):
        pixels = imread(io.BytesIO(picture))[..., :3]
        # The line of the numbers under the panels: letters apart by less than a letter are one number.
        line = pixels[-int((BOTTOM - 0.08) * DOTS_PER_INCH) : -int((BOTTOM - 0.22) * DOTS_PER_INCH)]
        line = line[:, : int((LEFT + 3 * PANEL_WIDTH + 0.2) * DOTS_PER_INCH)]
        inked = np.flatnonzero((line < 0.6).any(axis=(0, 2)))
        numbers = np.split(inked, np.flatnonzero(np.diff(inked) > 6) + 1)
        assert len(numbers) >= 9
        assert max(np.ptp(number) for number in numbers) < 0.3 * DOTS_PER_INCH  # "17.5" is 0.27 inches wide


def test_pixels_come_back_from_a_palette() -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.uint8)
    colours = [(0, 0, 0), (255, 128, 1), (3, 200, 255)]
    read = imread(io.BytesIO(palette_png(pixels, colours)))
    assert np.array_equal(np.rint(read[..., :3] * 255), np.array(colours)[pixels])


def test_the_waveform_is_around_the_loudest_sample() -> None:
    for at, begin in ((5, 0), (500, 420), (999, 840)):
        audio = torch.zeros(1000)
        audio[at] = -0.5
        assert loudest(audio, 8000) == slice(begin, begin + 160)
    assert loudest(torch.ones(7), 8000) == slice(0, 7)
    assert outline(np.array([0, 1, -1], np.float32), 1.0) == f"M0 {HEIGHT // 2}L1 {HEIGHT // 40}L2 {HEIGHT * 39 // 40}"
