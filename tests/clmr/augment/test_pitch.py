"""Pitch shifts against the sox program, in cents, and where they have nothing to shift."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchaudio
from torch import Tensor

from clmr.augment.pitch import Pitch, pitch_shift
from clmr.draw import make_keys
from clmr.errors import ConfigError
from tests.clmr.augment.music import music
from tests.clmr.augment.signals import RATES, extremes, level_db, noise, sox, tone
from tests.tolerances import CENTS, FLOAT32_PITCH, LOG_MEL_DB, LOUDEST_TO_FLOOR_DB


def cents_of(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def log_mel(audio: Tensor, sample_rate: int) -> Tensor:
    size = 2048 if sample_rate > 10_000 else 1024
    mel = torchaudio.transforms.MelSpectrogram(sample_rate, size, hop_length=512, n_mels=size // 16).double()
    power: Tensor = mel(audio.double())
    return 10 * torch.log10(power.clamp(min=power.max() * 10 ** (-LOUDEST_TO_FLOOR_DB / 10)))


def frequency(audio: Tensor) -> float:
    """Of a tone, in cycles per sample: the centre of the highest peak of the spectrum."""
    inner = audio[audio.shape[-1] // 8 : -audio.shape[-1] // 8].double()
    spectrum = torch.fft.rfft(inner * torch.hann_window(len(inner), dtype=torch.float64), 4 * len(inner)).abs().log()
    peak = int(spectrum.argmax())
    left, centre, right = spectrum[peak - 1 : peak + 2].tolist()
    bend: float = 0.5 * (left - right) / (left - 2 * centre + right)
    return (peak + bend) / (4 * len(inner))


@pytest.mark.needs("sox")
@pytest.mark.parametrize("sample_rate", RATES)
def test_sounds_as_soxs(sample_rate: int, tmp_path: Path) -> None:
    frames = 40_000
    shifts = (500.0, 237.5, -1.0, -250.0, -500.0, 700.0)
    for audio in (music(0, sample_rate, frames), music(1, sample_rate, frames), 0.3 * noise(1, frames)):
        got = pitch_shift(audio.expand(len(shifts), -1, -1), cents_of(*shifts), sample_rate)
        for row, cents in enumerate(shifts):
            theirs = sox(audio, sample_rate, tmp_path, "pitch", str(cents), "rate", "-h", str(sample_rate))[0, 0]
            both = min(frames, len(theirs))  # sox's length is off by some samples
            assert both > frames - 10
            distance = log_mel(got[row, 0, :both], sample_rate) - log_mel(theirs[:both], sample_rate)
            assert distance.abs().mean() < LOG_MEL_DB


@pytest.mark.parametrize("sample_rate", RATES)
def test_tones_move_by_the_cents_asked(sample_rate: int) -> None:
    shifts = torch.linspace(-700, 700, 29, dtype=torch.float64)
    for hz in (110.0, 440.0, 1480.0):
        audio = (0.5 * tone(hz, sample_rate, 40_000)).float().expand(29, -1, -1)
        shifted = pitch_shift(audio, shifts, sample_rate)
        assert shifted.shape == audio.shape
        for row, cents in enumerate(shifts.tolist()):
            wanted = hz / sample_rate * 2 ** (cents / 1200)
            assert abs(1200 * torch.log2(torch.tensor(frequency(shifted[row, 0]) / wanted)).item()) < CENTS
            assert level_db(shifted[row]) == pytest.approx(level_db(audio[row]), abs=0.2)


def test_what_would_pass_nyquist_vanishes() -> None:
    """Half an octave up, 6800 Hz stays below 11,025 Hz and 8500 Hz does not."""
    audio = torch.cat([tone(hz, 22050, 30_000) for hz in (6800, 8500)]).float()
    shifted = pitch_shift(audio, cents_of(600, 600), 22050)[..., 2000:-2000]
    assert level_db(shifted[0]) == pytest.approx(level_db(audio[0]), abs=0.2)
    assert level_db(shifted[1]) < -60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_shift_is_the_identity_to_the_bit(dtype: torch.dtype) -> None:
    audio = torch.cat([noise(3, 5000), extremes(5000)]).to(dtype)
    before = audio.clone()
    same = pitch_shift(audio, torch.zeros(9, dtype=torch.float64), 22050)
    assert torch.equal(same, audio)
    mixed = pitch_shift(audio, cents_of(0, 300, 0, 100, 0, 0.01, -0.01, -300, 0), 22050)
    still = [0, 2, 4, 5, 6, 8]
    assert torch.equal(mixed[still], audio[still])
    assert not torch.equal(mixed[1], audio[1])
    assert mixed.dtype == dtype
    assert torch.equal(audio, before)


@pytest.mark.parametrize("frames", [1, 7, 300, 1000, 20_000])
@pytest.mark.parametrize("sample_rate", RATES)
def test_extremes_and_short_rows(sample_rate: int, frames: int) -> None:
    audio = extremes(max(frames, 2))[:, :, :frames]
    for shift in (-1200.0, -500.0, 433.3, 1200.0):
        shifted = pitch_shift(audio, cents_of(*[shift] * 6), sample_rate)
        assert shifted.shape == audio.shape
        assert shifted.isfinite().all()
        assert shifted.abs().max() < 1.5  # a band limit overshoots at the edges of a square wave
        assert shifted[0].count_nonzero() == 0


def test_a_row_in_a_batch_equals_the_row_alone() -> None:
    audio, cents = torch.cat([noise(5, 12_000), extremes(12_000)]), torch.linspace(-700, 700, 11, dtype=torch.float64)
    together = pitch_shift(audio, cents, 22050)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    assert (pitch_shift(audio[order], cents[order], 22050) - together[order]).abs().max() < FLOAT32_PITCH
    for row in range(11):
        alone = pitch_shift(audio[row : row + 1], cents[row : row + 1], 22050)[0]
        assert (alone - together[row]).abs().max() < FLOAT32_PITCH


def test_float32_is_near_float64() -> None:
    audio, cents = music(2, 22050, 30_000).expand(4, -1, -1), cents_of(-500, -33.3, 210, 500)
    reference = pitch_shift(audio.double(), cents, 22050)
    assert (pitch_shift(audio, cents, 22050) - reference).abs().max() < FLOAT32_PITCH


def test_bfloat16_autocast_does_not_reach_it() -> None:
    audio, cents = noise(2, 5000), cents_of(-300, 100)
    expected = pitch_shift(audio, cents, 22050)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pitch_shift(audio, cents, 22050), expected)


def test_draws_its_range() -> None:
    keys = torch.from_numpy(make_keys(0, 0, range(20_000), (0,))[:, 0].copy())
    cents = Pitch().draw(keys)["cents"]
    assert cents.dtype == torch.float64
    assert -500 <= cents.min() < -499
    assert 499 < cents.max() <= 500
    assert cents.mean().abs() < 10
    whole = Pitch(semitones=(-1.0, 1.0), whole_cents=True).draw(keys)["cents"]
    values, counts = whole.unique(return_counts=True)
    assert values.tolist() == list(range(-100, 101))  # both ends, as often as the others
    assert counts.min() > 50


def test_clips_as_sox_does_where_asked() -> None:
    audio, columns = extremes(8000)[2:3], {"cents": cents_of(300)}
    assert Pitch().apply(audio.clone(), columns, 22050).abs().max() > 1
    clipped = Pitch(clamp=True).apply(audio.clone(), columns, 22050)
    assert torch.equal(clipped, pitch_shift(audio, cents_of(300), 22050).clamp(-1, 1))


def test_any_default_device() -> None:
    audio, cents = noise(2, 3000), cents_of(-300, 100)
    expected = pitch_shift(audio, cents, 8000)
    with torch.device("meta"):
        assert torch.equal(pitch_shift(audio, cents, 8000), expected)


def test_gives_no_gradient_and_says_so() -> None:
    audio = noise(1, 3000).requires_grad_()
    for shift in (300.0, 0.0):
        with pytest.raises(ConfigError, match=r"gives no gradient: call it under torch.no_grad\(\) or on audio.detach"):
            pitch_shift(audio, cents_of(shift), 8000)
    expected = pitch_shift(audio.detach(), cents_of(300), 8000)
    with torch.no_grad():
        assert torch.equal(pitch_shift(audio, cents_of(300), 8000), expected)


def test_refuses_what_does_not_fit() -> None:
    audio = noise(2, 100)
    with pytest.raises(ConfigError, match=r"cents must have one value per row of audio, \[2\], got \[3\]"):
        pitch_shift(audio, cents_of(0, 0, 0), 22050)
    with pytest.raises(ConfigError, match=r"pitch_shift takes .* \[N, 1, T\], got torch.float32 \[2, 2, 100\]"):
        pitch_shift(audio.expand(2, 2, 100), cents_of(0, 100), 22050)
    with pytest.raises(ConfigError, match=r"pitch_shift takes float32 or float64 audio .* got torch.float16"):
        pitch_shift(audio.half(), cents_of(0, 100), 22050)


def test_refuses_more_than_an_octave() -> None:
    with pytest.raises(ConfigError, match=r"within \+-1200 cents, got 1201"):
        pitch_shift(noise(2, 100), cents_of(0, 1201), 22050)
    with pytest.raises(ConfigError, match=r"within \+-1200 cents, got nan"):
        pitch_shift(noise(1, 100), cents_of(float("nan")), 22050)
    with pytest.raises(ConfigError, match=r"pitch.semitones must be within \+-12, got"):
        Pitch(semitones=(-13.0, 0.0))
    with pytest.raises(ConfigError, match="probability of pitch"):
        Pitch(probability=-0.1)
