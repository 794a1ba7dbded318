"""Any sound becomes a mono recording at the rate of the effects; what cannot is refused with the file's name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clmr.augment.listen.recording import SAMPLE_RATE, Recording, read_recording
from clmr.errors import ClmrError
from tests.clmr.augment.signals import level_db, tone


def stereo(rate: int, seconds: float, hz: float = 1000) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A sine on the left and silence on the right."""
    left = 0.5 * tone(hz, rate, round(rate * seconds))[0, 0].numpy()
    return np.stack([left, np.zeros_like(left)], axis=1)


def write(path: Path, samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rate: int) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 8000), ("a.wav", 44101), ("a.flac", 192000), ("a.mp3", 44100)])
def test_mean_of_the_channels_at_the_rate_of_the_effects(name: str, rate: int, tmp_path: Path) -> None:
    got = read_recording(write(tmp_path / name, stereo(rate, 2), rate), 0, 30)
    assert got.audio.shape == (1, 1, 2 * SAMPLE_RATE)
    assert got.audio.dtype == torch.float32
    assert (got.name, got.begin, got.left_out, got.seconds) == (name, 0, False, 2.0)
    middle = slice(2000, -2000)
    expected = 0.25 * tone(1000, SAMPLE_RATE, 2 * SAMPLE_RATE)
    assert level_db(got.audio[..., middle] - expected[..., middle]) < (-35 if name == "a.mp3" else -90)


def test_the_part_that_was_asked_for(tmp_path: Path) -> None:
    samples = np.concatenate([stereo(16000, 2, 500), stereo(16000, 3, 3000)])
    path = write(tmp_path / "a.wav", samples, 16000)
    got: Recording = read_recording(path, 2.5, 1.5)
    assert (got.begin, got.seconds, got.left_out) == (2.5, 1.5, True)
    spectrum = torch.fft.rfft(got.audio[0, 0])
    assert spectrum.abs().argmax().item() == 3000 * 1.5
    assert not read_recording(path, 3.5, 1.5).left_out


def test_what_cannot_be_listened_to(tmp_path: Path) -> None:
    rate = 8000
    sound = stereo(rate, 1)
    cases = {
        "text.wav": "cannot be read as sound",
        "empty.wav": "is empty (0 bytes)",
        "no-frames.wav": "is too short: 0 samples",
        "one.wav": "is too short: 1 sample (0.00013 s)",
        "silent.wav": "is silent",
        "opposite.wav": "is silent (mono mix",
        "nan.wav": "has samples as high as nan, where full scale is 1",
        "loud.wav": "has samples as high as 16384, where full scale is 1",
        "torn.mp3": "cannot be read as sound",
    }
    (tmp_path / "text.wav").write_text("no sound\n" * 100)
    (tmp_path / "empty.wav").touch()
    write(tmp_path / "no-frames.wav", sound[:0], rate)
    write(tmp_path / "one.wav", sound[:1], rate)
    write(tmp_path / "silent.wav", 0 * sound, rate)
    write(tmp_path / "opposite.wav", np.stack([sound[:, 0], -sound[:, 0]], axis=1), rate)
    write(tmp_path / "nan.wav", np.where(np.arange(rate)[:, None] == 100, math.nan, sound), rate)
    write(tmp_path / "loud.wav", 32768 * sound, rate)
    (tmp_path / "torn.mp3").write_bytes(b"\xff\xfb\x90\x64" + bytes(range(256)) * 8)
    for name, words in cases.items():
        with pytest.raises(ClmrError) as caught:
            read_recording(tmp_path / name, 0, 30)
        assert str(caught.value).startswith(f"{tmp_path / name} ")
        assert words in str(caught.value)


def test_a_start_that_is_not_there(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp3"):
        path = write(tmp_path / name, stereo(8000, 1), 8000)
        for begin in (7, math.inf, math.nan):
            with pytest.raises(ClmrError, match=rf"--start {begin:g} lies beyond the end of .*{name}, which lasts 1"):
                read_recording(path, begin, 30)
        with pytest.raises(ClmrError, match=r"too short: 800 samples from 0\.9 s on \(0\.1 s\), at least 0\.5 s"):
            read_recording(path, 0.9, 30)


def test_libraries_say_nothing_of_their_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.mp3", stereo(44100, 2), 44100)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 2000] = b"\x55" * 2000
    path.write_bytes(whole)
    with pytest.raises(ClmrError, match=r"a\.mp3 cannot be read as sound"):
        read_recording(path, 0, 30)
    assert capfd.readouterr() == ("", "")
