"""Which decoder reads a file, and files that end before their time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sharding.opened
from sharding.decode import decode
from sharding.faults import Fault
from sharding.mp3 import ends_on_frame
from tests.sharding.refusals import fault_of, ffmpeg


@pytest.mark.parametrize("extension", ["wav", "aiff", "au", "flac", "ogg", "opus"])
@given(share=st.floats(0.02, 1.0, exclude_max=True))
def test_a_file_cut_anywhere_is_truncated(clips: dict[str, Path], extension: str, share: float) -> None:
    data = clips[extension].read_bytes()
    cut = data[: int(share * len(data))]
    if data.startswith(b"OggS", len(cut)):
        assert len(decode(cut, 22050).pcm) < 4 * 22050  # between two pages: a recording that was stopped
    else:
        assert fault_of(cut) is Fault.TRUNCATED


@given(share=st.floats(0.05, 0.97))
def test_an_mp3_that_breaks_off_in_a_frame_is_truncated(clips: dict[str, Path], share: float) -> None:
    """``test_mp3`` knows where frames end; libsndfile's frames are a few hundred bytes long."""
    data = clips["mp3"].read_bytes()
    size = int(share * len(data))
    faults = {fault_of(data[:size]) for size in (size, size + 1) if not ends_on_frame(data[:size])}
    assert faults == {Fault.TRUNCATED}


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg"])
def test_libsndfile_is_not_named(clips: dict[str, Path], extension: str) -> None:
    assert not decode(clips[extension].read_bytes(), 22050).decoder


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", ["a.aac", "a.m4a", "a.mka", "a.wma", "a.ac3", "a.wv", "flac.oga"])
def test_where_ffmpeg_is_not_installed_what_needs_it_is_unsupported(
    clips: dict[str, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ffmpeg(clips["wav"], tmp_path / name, *(["-c:a", "flac"] if name == "flac.oga" else []))
    assert decode(data, 22050).decoder.startswith("ffmpeg ")
    monkeypatch.setattr(sharding.opened, "ffmpeg_version", lambda: None)
    assert fault_of(data) is Fault.UNSUPPORTED
    assert fault_of(b"<html>") is Fault.UNDECODABLE
    assert decode(clips["flac"].read_bytes(), 22050).peak > 1000


@pytest.mark.needs("ffmpeg")
def test_a_cut_file_is_truncated_whether_there_is_ffmpeg_or_not(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ffmpeg(clips["wav"], tmp_path / "a.m4a")
    assert fault_of(data[: len(data) // 2]) is Fault.TRUNCATED
    monkeypatch.setattr(sharding.opened, "ffmpeg_version", lambda: None)
    assert fault_of(data[: len(data) // 2]) is Fault.TRUNCATED


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("codec", ["libmp3lame", "adpcm_ms", "pcm_s24le", "pcm_f32le", "pcm_alaw"])
def test_codecs_in_a_wav_file(clips: dict[str, Path], codec: str, tmp_path: Path) -> None:
    data = ffmpeg(clips["wav"], tmp_path / "a.wav", "-c:a", codec)
    decoded = decode(data, 44100)
    assert 4 * 44100 <= len(decoded.pcm) <= 4 * 44100 + 3 * 1152
    assert not decoded.decoder
    assert fault_of(data[: len(data) // 2]) is Fault.TRUNCATED
