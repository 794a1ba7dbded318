"""Decoding against ffmpeg and sox, physics of the resampler, and every way a recording can be refused."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sharding.decode
from clmr.errors import StorageError
from sharding.decode import decode, decode_parts, decoder_versions, quantise, read_source
from sharding.faults import Fault, RecordingError
from sharding.storage import LocalPlace
from tests.sharding.refusals import fault_of, wav

Float = npt.NDArray[np.floating]

# Signal to difference, in dB. Rounding a signal of this level to 16 bits alone gives 81 to 83.
DECODER_AGREES = 78.0
RESAMPLER_AGREES = 75.0
TONE_SURVIVES = 0.1
TONE_VANISHES = -90.0


def agreement(found: Float, reference: Float, edge: int = 2000) -> float:
    """Signal to difference in dB, without the ends, where filters run in and out."""
    size = min(len(found), len(reference))
    found, reference = found[edge : size - edge], reference[edge : size - edge]
    return float(10 * np.log10(np.sum(reference**2) / np.sum((found - reference) ** 2)))


def run_to_floats(*command: str | Path) -> Float:
    done = subprocess.run([str(part) for part in command], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32)


# --- what comes out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "FLAC"])
@given(samples=arrays(np.int16, st.integers(1, 300), elements=st.integers(-32768, 32767)).filter(np.any))
def test_mono_16_bit_at_the_target_rate_comes_back_to_the_bit(form: str, samples: npt.NDArray[np.int16]) -> None:
    decoded = decode(wav(samples, form=form), 22050)
    assert np.array_equal(decoded.pcm, samples)
    assert decoded.peak == np.abs(samples.astype(int)).max()
    assert decoded.clipped == 0


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("extension", ["wav", "aiff", "au", "flac", "mp3", "ogg", "opus"])
def test_ffmpeg_decodes_the_same(clips: dict[str, Path], extension: str) -> None:
    """Sample for sample: the delay that MP3 and Opus encoders add is taken off by both."""
    rate = soundfile.info(clips[extension]).samplerate
    reference = run_to_floats("ffmpeg", "-v", "error", "-i", clips[extension], "-f", "f32le", "-")
    pcm = decode(clips[extension].read_bytes(), rate).pcm
    assert len(pcm) == len(reference) // 2 == 4 * rate
    assert agreement(pcm / np.float32(32768), reference.reshape(-1, 2).mean(axis=1)) > DECODER_AGREES


@pytest.mark.needs("ffmpeg")
def test_an_mp3_without_a_header_of_its_length_keeps_the_encoder_delay(clips: dict[str, Path], tmp_path: Path) -> None:
    """Only the Info header says how much silence the encoder put in front; without one, nobody can take it off."""
    bare = tmp_path / "bare.mp3"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", clips["wav"], "-write_xing", "0", "-b:a", "192k", bare], check=True, timeout=60
    )
    reference = run_to_floats("ffmpeg", "-v", "error", "-i", bare, "-f", "f32le", "-").reshape(-1, 2).mean(axis=1)
    pcm = decode(bare.read_bytes(), 44100).pcm
    assert len(pcm) >= 4 * 44100
    lags = range(-2400, 2401)
    middle = slice(60000, 70000)
    scores = [float(pcm[60000 + lag : 70000 + lag] @ reference[middle]) for lag in lags]
    lag = lags[int(np.argmax(scores))]
    assert agreement(pcm[max(lag, 0) :] / np.float32(32768), reference[max(-lag, 0) :], edge=4000) > DECODER_AGREES


@pytest.mark.needs("sox")
@pytest.mark.parametrize("extension", ["wav", "aiff", "au"])
def test_sox_decodes_the_same(clips: dict[str, Path], extension: str) -> None:
    reference = run_to_floats("sox", "-D", clips[extension], "-t", "raw", "-e", "float", "-b", "32", "-")
    pcm = decode(clips[extension].read_bytes(), 44100).pcm
    assert agreement(pcm / np.float32(32768), reference.reshape(-1, 2).mean(axis=1)) > DECODER_AGREES


@pytest.mark.needs("sox", "ffmpeg")
@pytest.mark.parametrize("rate", [22050, 16000])
def test_sox_and_ffmpeg_resample_the_same(clips: dict[str, Path], tmp_path: Path, rate: int) -> None:
    samples, source_rate = soundfile.read(clips["wav"])
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, samples.mean(axis=1), source_rate, "FLOAT")
    found = decode(clips["wav"].read_bytes(), rate).pcm / np.float32(32768)
    by_sox = run_to_floats("sox", "-D", mono, "-t", "raw", "-e", "float", "-b", "32", "-", "rate", "-h", str(rate))
    graph = f"aresample={rate}:resampler=soxr:precision=20"
    by_ffmpeg = run_to_floats("ffmpeg", "-v", "error", "-i", mono, "-af", graph, "-f", "f32le", "-")
    assert len(found) == len(by_sox) == len(by_ffmpeg) == 4 * rate
    assert agreement(found, by_sox) > RESAMPLER_AGREES
    assert agreement(found, by_ffmpeg) > RESAMPLER_AGREES


@pytest.mark.parametrize("rate", [22050, 16000, 8000])
@pytest.mark.parametrize("source_rate", [96000, 48000, 44100, 32000])
def test_a_tone_below_nyquist_survives_and_one_above_vanishes(source_rate: int, rate: int) -> None:
    """At 90 % of the lower Nyquist frequency nothing is lost, at 110 % nothing is left, and no alias either."""
    time = np.arange(2 * source_rate) / source_rate
    low, high = round(0.9 * rate / 2), round(1.1 * rate / 2)  # whole Hz, on the bins of one second
    for frequencies, amplitude in (((low,), 0.9), ((100, high), 0.4)):
        tone = sum(amplitude * np.sin(2 * np.pi * frequency * time) for frequency in frequencies)
        pcm = decode(wav(tone, source_rate, "FLOAT"), rate).pcm[rate // 2 : -rate // 2]
        window = np.blackman(len(pcm))
        level = 20 * np.log10(np.abs(np.fft.rfft(pcm / 32768 * window)) * 2 / window.sum() / amplitude + 1e-12)
        bins = np.fft.rfftfreq(len(pcm), 1 / rate)
        kept = np.abs(bins - frequencies[0]) < 20
        assert abs(level[kept].max()) < TONE_SURVIVES
        assert level[~kept].max() < TONE_VANISHES


def test_blocks_do_not_show(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for path in clips.values():
        whole = decode(path.read_bytes(), 22050)
        with monkeypatch.context() as patch:
            patch.setattr(sharding.decode, "BLOCK_FRAMES", 4999)
            assert np.array_equal(decode(path.read_bytes(), 22050).pcm, whole.pcm)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_are_averaged(channels: int) -> None:
    random = np.random.default_rng(0)
    samples = random.integers(-1000, 1000, (100_000, channels)).astype(np.int16) * channels
    assert np.array_equal(decode(wav(samples), 22050).pcm, samples.astype(int).sum(axis=1) // channels)


def test_what_is_beyond_16_bits_is_clipped_and_counted() -> None:
    pcm, clipped = quantise(np.array([1.0, 32767 / 32768, -1.0, -1.1, 0.5, 7.0], np.float32))
    assert pcm.tolist() == [32767, 32767, -32768, -32768, 16384, 32767]
    assert clipped == 3
    decoded = decode(wav([0.5, 2.0, -3.0, 0.25], subtype="FLOAT"), 22050)
    assert (decoded.pcm.tolist(), decoded.peak, decoded.clipped) == ([16384, 32767, -32768, 8192], 32768, 2)


@pytest.mark.needs("ffmpeg")
def test_a_stream_of_mixed_bit_rates_without_a_header_is_read_to_its_end(clips: dict[str, Path]) -> None:
    """Alone, libsndfile would stop where the first frame's bit rate says the file ends."""
    parts = []
    for bit_rate in ("320k", "64k"):
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(clips["wav"]),
            "-write_xing",
            "0",
            "-b:a",
            bit_rate,
            "-f",
            "mp3",
            "-",
        ]
        parts.append(subprocess.run(command, capture_output=True, check=True).stdout)
    both = b"".join(parts)
    with soundfile.SoundFile(io.BytesIO(both)) as file:
        assert file.frames < 6 * 44100
    assert len(decode(both, 44100).pcm) >= 8 * 44100


def test_a_flac_of_unknown_length_is_read_to_its_end(clips: dict[str, Path]) -> None:
    data = bytearray(clips["flac"].read_bytes())
    known = decode(bytes(data), 22050).pcm
    # STREAMINFO begins at byte 8; its last 36 bits before the MD5 sum are the number of samples, 0: unknown.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert np.array_equal(decode(bytes(data), 22050).pcm, known)


# --- recordings of several files ---------------------------------------------------------------------------------


def test_parts_are_joined_as_if_each_were_decoded_alone(clips: dict[str, Path]) -> None:
    """An MP3 song of 29 s clips, say; formats and rates may differ."""
    parts = [clips[extension].read_bytes() for extension in ("mp3", "opus", "wav", "flac")]
    joined = decode_parts(parts, 16000)
    alone = [decode(part, 16000) for part in parts]
    assert np.array_equal(joined.pcm, np.concatenate([part.pcm for part in alone]))
    assert joined.peak == max(part.peak for part in alone)


def test_only_the_whole_has_to_be_long_and_loud_enough() -> None:
    silence, tone = wav(np.zeros(1000)), wav([0.5, 2.0, -3.0, 0.25], subtype="FLOAT")
    parts = [silence, tone, silence, wav([]), tone]
    joined = decode_parts(parts, 22050, shortest=2008)
    assert (len(joined.pcm), joined.peak, joined.clipped) == (2008, 32768, 4)
    for bad, shortest, fault in (
        (parts, 2009, Fault.TOO_SHORT),
        ([silence, silence], 1, Fault.SILENT),
        ([], 1, Fault.TOO_SHORT),
    ):
        with pytest.raises(RecordingError) as caught:
            decode_parts(bad, 22050, shortest)
        assert caught.value.fault is fault


def test_one_bad_part_is_the_fault_of_the_whole_and_nothing_more_is_read() -> None:
    read = []

    def parts() -> Iterator[bytes]:
        for number, part in enumerate([wav([0.5]), b"<html>", wav([0.5])]):
            read.append(number)
            yield part

    with pytest.raises(RecordingError) as caught:
        decode_parts(parts(), 22050)
    assert caught.value.fault is Fault.UNDECODABLE
    assert read == [0, 1]


def test_more_than_a_wav_file_holds_is_refused_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding.decode, "LONGEST_SAMPLES", 1000)
    assert len(decode_parts([wav(np.ones(500)), wav(np.ones(500))], 22050).pcm) == 1000

    def parts() -> Iterator[bytes]:
        yield wav(np.ones(500))
        yield wav(np.ones(501))
        raise AssertionError

    with pytest.raises(RecordingError) as caught:
        decode_parts(parts(), 22050)
    assert caught.value.fault is Fault.TOO_LONG


# --- what is refused ------------------------------------------------------------------------------------------


def test_faults() -> None:
    tone = 0.5 * np.sin(np.arange(22050))
    broken = tone.copy()
    for value in (np.nan, np.inf, -np.inf):
        broken[11000] = value
        assert fault_of(wav(broken, subtype="FLOAT")) is Fault.NOT_FINITE
    assert fault_of(wav(np.full(22050, 3e38), 44100, "FLOAT")) is Fault.NOT_FINITE
    assert fault_of(wav(np.zeros(22050))) is Fault.SILENT
    assert fault_of(wav(tone), shortest=22051) is Fault.TOO_SHORT
    assert len(decode(wav(tone), 22050, shortest=22050).pcm) == 22050
    assert fault_of(wav(np.zeros(0))) is Fault.TOO_SHORT
    assert fault_of(wav(tone, rate=10)) is Fault.UNDECODABLE
    assert fault_of(b"<html>this is not music</html>" * 1000) is Fault.UNDECODABLE
    assert fault_of(np.random.default_rng(0).bytes(300_000)) is Fault.UNDECODABLE


@pytest.mark.parametrize("path", ["absent.wav", "dangling.wav", "loop.wav", "folder.wav", "pipe.wav", "empty.wav"])
def test_what_cannot_be_read(unreadable: Path, path: str) -> None:
    expected = {"absent.wav": Fault.MISSING, "dangling.wav": Fault.MISSING, "empty.wav": Fault.EMPTY}
    with pytest.raises(RecordingError) as caught:
        read_source(LocalPlace(unreadable), path)
    assert caught.value.fault is expected.get(path, Fault.UNREADABLE)


def test_a_file_without_permission_is_unreadable(not_root: Path) -> None:
    path = not_root / "secret.wav"
    path.write_bytes(wav([0.5]))
    path.chmod(0)
    with pytest.raises(RecordingError) as caught:
        read_source(LocalPlace(not_root), path.name)
    assert caught.value.fault is Fault.UNREADABLE


@pytest.mark.parametrize(
    ("failure", "fault"),
    [(FileNotFoundError(2, "no"), Fault.MISSING), (PermissionError(13, "no"), Fault.UNREADABLE)],
)
def test_what_a_bucket_does_not_hold_or_give(failure: OSError, fault: Fault) -> None:
    with pytest.raises(RecordingError) as caught:
        read_source(Mock(root=None, read=Mock(side_effect=failure)), "song.mp3")
    assert caught.value.fault is fault


def test_a_bucket_that_does_not_answer_is_no_fault_of_the_recording() -> None:
    with pytest.raises(StorageError, match="no answer"):
        read_source(Mock(root=None, read=Mock(side_effect=StorageError("no answer"))), "song.mp3")


# --- around it ------------------------------------------------------------------------------------------------


def test_versions_name_decoder_and_resampler() -> None:
    versions = decoder_versions()
    assert versions["decoder"] == f"libsndfile {soundfile.__libsndfile_version__}"
    assert versions["resampler"].startswith("soxr ")
