"""Where the sox library clips, whose samples are integers: full-scale chords against the program."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clmr.augment import Pitch, Reverb, pitch_shift, reverb
from tests.clmr.augment.signals import level_db, sox
from tests.tolerances import REVERB_FLOAT32_DB, REVERB_FLOAT64_DB, REVERB_WORST_DB

RATE, FRAMES = 22050, 30_000
SPECTRUM_DB = 0.02  # mean distance of a chord shifted to sox's; measured 0.01 at most
PEAKS = (1.0, 1.4)
SETTINGS = [(0, 0, 0), (99, 0, 99), (99, 99, 0), (50, 50, 50), (80, 10, 30), (97, 40, 60)]


def chord(peak: float, root: float = 110.0) -> Tensor:
    """Four notes with overtones, float32, ``[1, 1, FRAMES]``."""
    time = torch.arange(FRAMES, dtype=torch.float64) / RATE
    partials = [k * root * 2 ** (step / 12) for step in (0, 4, 7, 12) for k in (1, 2, 3)]
    x = torch.stack([torch.sin(2 * math.pi * hz * time + hz) for hz in partials]).sum(dim=0)
    return (peak * x / x.abs().max()).float().view(1, 1, -1)


def difference_db(got: Tensor, expected: Tensor) -> float:
    """Decibels from the expected signal down to the difference."""
    return level_db(expected) - level_db(got.double() - expected)


def settings_of(*settings: tuple[float, float, float]) -> dict[str, Tensor]:
    values = torch.tensor(settings, dtype=torch.float64).T
    return dict(zip(("reverberance", "damping", "room_scale"), values, strict=True))


@pytest.mark.needs("sox")
@pytest.mark.parametrize("peak", PEAKS)
def test_reverb_clips_as_sox_does(peak: float, tmp_path: Path) -> None:
    """The input and each of the two channels; clipping their mean alone is another result."""
    audio = chord(peak)
    rows, columns = audio.expand(len(SETTINGS), -1, -1), settings_of(*SETTINGS)
    got = Reverb(clamp=True).apply(rows, columns, RATE)
    reference = Reverb(clamp=True).apply(rows.double(), columns, RATE)
    mean_clipped = Reverb().apply(rows.double(), columns, RATE).clamp(-1, 1)
    clipped = 0
    for row, setting in enumerate(SETTINGS):
        expected = sox(audio, RATE, tmp_path, "reverb", *(f"{value}" for value in setting), "channels", "1")[0]
        assert difference_db(got[row], expected) > REVERB_WORST_DB, setting
        assert difference_db(reference[row], expected) > REVERB_FLOAT64_DB, setting
        clipped += difference_db(mean_clipped[row], expected) < REVERB_WORST_DB
    assert clipped >= len(SETTINGS) - 1
    assert torch.equal(rows[0], audio[0])


def test_reverb_within_full_scale_is_as_without() -> None:
    audio, columns = chord(0.05), settings_of((50, 50, 50))
    plain, clipped = (Reverb(clamp=clamp).apply(audio, columns, RATE) for clamp in (False, True))
    assert plain.abs().max() < 0.5
    assert difference_db(clipped, plain.double()) > REVERB_FLOAT32_DB


@pytest.mark.needs("module:triton")
def test_reverb_kernel_of_each_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    audio, columns = chord(1.4)[..., :150].clone().requires_grad_(), settings_of((99, 0, 0))
    results = []
    for chosen in (False, True):
        # The package's attribute of that name is the function.
        monkeypatch.setattr(import_module("clmr.augment.reverb"), "use_kernels", lambda _, chosen=chosen: chosen)
        out = reverb(audio, **columns, sample_rate=1000, clamp=True)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), audio)))
    for plain, kernel in zip(*results, strict=True):
        assert not torch.equal(kernel, plain)  # it was another computation
        assert difference_db(kernel, plain.double()) > REVERB_FLOAT32_DB


def test_gradients_of_clipped_reverb() -> None:
    """By finite differences, of samples within full scale and beyond it."""
    # Beyond it only once it rings: a clipped sample with nothing added stands on the edge.
    swell = torch.linspace(0.1, 1.6, 16, dtype=torch.float64) * torch.tensor([[[1.0]], [[-1.0]]])
    audio = (swell * torch.cos(0.3 * torch.arange(16, dtype=torch.float64))).requires_grad_()
    assert (audio.abs() > 1).any()
    columns = settings_of((100, 0, 0), (30, 60, 100))
    assert torch.autograd.gradcheck(lambda x: reverb(x, **columns, sample_rate=200, clamp=True), audio)


@pytest.mark.needs("sox")
@pytest.mark.parametrize("peak", PEAKS)
def test_pitch_clips_as_sox_does(peak: float, tmp_path: Path) -> None:
    """In the spectrum, as the resampling filters differ. Only the input tells, where it is beyond full scale."""
    audio, shifts = chord(peak), (-400.0, 300.0, 600.0)
    cents = torch.tensor(shifts, dtype=torch.float64)
    rows = audio.expand(len(shifts), -1, -1)
    clipped = Pitch(clamp=True).apply(rows, {"cents": cents}, RATE)
    output_clipped = pitch_shift(rows, cents, RATE).clamp(-1, 1)
    assert clipped.abs().max() <= 1
    for row, shift in enumerate(shifts):
        theirs = sox(audio, RATE, tmp_path, "pitch", str(shift), "rate", "-h", str(RATE))[0, 0]
        distance, without = (spectral_distance(each[row, 0], theirs) for each in (clipped, output_clipped))
        assert distance < SPECTRUM_DB
        assert peak <= 1 or without > 5 * SPECTRUM_DB
    assert torch.equal(rows[0], audio[0])


def spectral_distance(got: Tensor, expected: Tensor) -> float:
    """Mean difference in decibels of what is within 60 dB of the peak."""
    both = min(len(got), len(expected))
    window = torch.hann_window(2048, dtype=torch.float64)
    ours, theirs = (
        torch.stft(x[:both].double(), 2048, window=window, return_complex=True).abs().square()[:, 2:-2]
        for x in (got, expected)
    )
    floor = theirs.max() * 1e-6
    return (10 * torch.log10((ours + floor) / (theirs + floor))).abs().mean().item()
