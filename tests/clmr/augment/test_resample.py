"""Resampling against its formula, against scipy, and against the physics of a band limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from clmr.augment.ratio import CENTS, nearest_ratio
from clmr.augment.resample import HALF, MKLDNN, ROLLOFF, WINDOW, resample
from tests.clmr.augment.signals import extremes, level_db, noise, relative_error, tone
from tests.tolerances import FLOAT32_RESAMPLING, FLOAT64, RIPPLE, STOPBAND_DB


def ratio(p: int, q: int, rows: int = 1) -> tuple[Tensor, Tensor]:
    return torch.full((rows,), p), torch.full((rows,), q)


def by_the_formula(x: Tensor, p: int, q: int, frames: int) -> Tensor:
    """Every output as one sum over the whole input, float64."""
    t = torch.arange(len(x))[None, :] - torch.arange(frames, dtype=torch.float64)[:, None] * p / q
    cutoff, length = ROLLOFF * min(1, q / p), HALF * max(1, p / q)
    window = sum(a * torch.cos(k * math.pi * t / length) for k, a in enumerate(WINDOW)) * (t.abs() < length)
    return (cutoff * torch.sinc(cutoff * t) * window) @ x.double()


def test_window_is_nuttalls() -> None:
    length = 2 * HALF
    u = np.arange(length) / HALF - 1
    ours = sum(a * np.cos(k * math.pi * u) for k, a in enumerate(WINDOW))
    theirs = signal.windows.general_cosine(length, [0.355768, 0.487396, 0.144232, 0.012604], sym=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


# Simple fractions, whole steps, both sides of 1, a period of several chunks, one longer than the output; and outputs
# of one sample, of less than a block and of less than a period.
@pytest.mark.parametrize(
    ("p", "q"), [(1, 1), (3, 2), (1, 2), (2, 1), (411, 308), (308, 411), (1731, 1730), (24_732, 24_733)]
)
@pytest.mark.parametrize("frames", [1, 31, 200, 2100])
def test_equals_the_formula(p: int, q: int, frames: int) -> None:
    x = noise(1, 1500)[0].double()
    got = resample(x, *ratio(p, q), frames)
    expected = by_the_formula(x[0], p, q, frames)
    assert relative_error(got[0], expected) < FLOAT64
    single = resample(x.float(), *ratio(p, q), frames)
    assert single.dtype == torch.float32
    assert ((single[0] - expected).abs().max() / x.abs().max()).item() < FLOAT32_RESAMPLING


@pytest.mark.parametrize("length", [1, 5, 4000])
def test_inputs_of_any_length(length: int) -> None:
    x = noise(1, length)[0].double()
    assert relative_error(resample(x, *ratio(7, 5), 300)[0], by_the_formula(x[0], 7, 5, 300)) < FLOAT64


@pytest.mark.parametrize(("p", "q"), [(4, 3), (3, 4), (441, 400), (160, 147)])
def test_agrees_with_scipy(p: int, q: int) -> None:
    """On what both pass, with a filter of scipy's that is twice as long."""
    band = signal.firwin(301, 0.6)
    x = np.convolve(noise(1, 6000)[0, 0].double().numpy(), band, mode="same")
    got = resample(torch.from_numpy(x)[None], *ratio(p, q), 4000)[0].numpy()
    longest = max(p, q)
    taps = signal.firwin(2 * 100 * longest + 1, 0.94 / longest, window=("kaiser", 10.0))
    expected = signal.resample_poly(x, q, p, window=taps)[: len(got)]
    inner = slice(300, min(len(got), 6000 * q // p) - 300)
    assert np.abs(got[inner] - expected[inner]).max() / np.abs(expected).max() < RIPPLE


@pytest.mark.parametrize(("p", "q"), [(411, 308), (308, 411), (100, 99)])
def test_a_tone_stays_a_tone(p: int, q: int) -> None:
    """The closed form: sin(w n) read at n p / q is sin(w p / q n)."""
    frames = 4000
    for hz in (0.01, 0.1, 0.3):
        got = resample(tone(hz, 1, 6000)[0], *ratio(p, q), frames)[0]
        assert (got - tone(hz * p / q, 1, frames)[0, 0])[200:-200].abs().max() < RIPPLE


def test_what_lands_above_nyquist_vanishes() -> None:
    """At p / q = 4 / 3 the new Nyquist frequency is 3 / 8 of the old rate."""
    for hz, kept in ((0.9 * 0.375 * ROLLOFF, True), (1.09 * 0.375 * ROLLOFF, False), (0.45, False)):
        got = resample(tone(hz, 1, 8000)[0], *ratio(4, 3), 6000)[:, 200:-200]
        change = level_db(got) - level_db(tone(hz, 1, 8000))
        assert abs(change) < 0.1 if kept else change < STOPBAND_DB


def test_no_images_of_what_was_there() -> None:
    """Read slower, everything is below 3 / 8 of the new rate, and nothing is added above."""
    x = tone(0.4, 1, 8000)[0]
    got = resample(x, *ratio(3, 4), 8000)[0, 500:-500]
    spectrum = torch.fft.rfft(got * torch.from_numpy(signal.windows.blackmanharris(len(got)))).abs()
    images = spectrum[int(0.38 * len(got)) :]
    assert 20 * math.log10(images.max() / spectrum.max()) < STOPBAND_DB


def test_a_row_in_a_batch_equals_the_row_alone() -> None:
    audio = torch.cat([noise(3, 3000), extremes(3000)])[:, 0]
    p, q = nearest_ratio(torch.linspace(0.7, 1.4, 9, dtype=torch.float64))
    together = resample(audio, p, q, 2500)
    assert together.isfinite().all()
    for row in range(9):
        one = slice(row, row + 1)
        assert (resample(audio[one], p[one], q[one], 2500) - together[one]).abs().max() < FLOAT32_RESAMPLING


def test_less_precise_products_do_not_reach_it() -> None:
    audio, frames = noise(1, 90_000)[:, 0], 60_000  # long enough for products that the library hands to bfloat16 units
    expected = resample(audio, *ratio(7, 5), frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resample(audio, *ratio(7, 5), frames), expected)
    MKLDNN.matmul.fp32_precision = "bf16"
    try:
        assert relative_error(resample(audio, *ratio(7, 5), frames), expected) < FLOAT32_RESAMPLING
    finally:
        MKLDNN.matmul.fp32_precision = "none"


def test_fractions_are_near_and_simple() -> None:
    cents = torch.linspace(-1200, 1200, 2001, dtype=torch.float64)
    wanted = 2 ** (cents / 1200)
    p, q = nearest_ratio(wanted)
    error = 1200 * torch.log2(p.double() / q.double() / wanted)
    assert error.abs().max() <= CENTS * (1 + 1e-6)
    # No denominator below it is as near.
    for value, best in list(zip(wanted.tolist(), q.tolist(), strict=True))[::50]:
        for smaller in range(1, best):
            near = [(math.floor(value * smaller) + up) / smaller for up in (0, 1)]
            assert all(n == 0 or abs(1200 * math.log2(n / value)) > CENTS * (1 - 1e-6) for n in near)
    tiny = 2 ** (torch.tensor([0, 0.019, -0.019, 0.021, 0.05], dtype=torch.float64) / 1200)
    p, q = nearest_ratio(tiny)
    assert (p[:3].tolist(), q[:3].tolist()) == ([1] * 3, [1] * 3)
    assert q.max() <= 43_300


def test_any_default_device() -> None:
    audio, wanted = noise(2, 900)[:, 0], torch.tensor([0.8, 1.25], dtype=torch.float64)
    expected = resample(audio, *nearest_ratio(wanted), 800)
    with torch.device("meta"):
        assert torch.equal(resample(audio, *nearest_ratio(wanted), 800), expected)
