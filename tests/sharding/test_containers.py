"""What a header promises: lengths left open, chunks around the samples, MP3 tags."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.containers import ends_early, is_unsupported, mp3_frame_count, with_open_end
from sharding.decode import decode
from sharding.faults import Fault, RecordingError


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


@pytest.mark.needs("sox", "ffmpeg")
@pytest.mark.parametrize("kind", ["wav", "au"])
def test_streams_written_to_a_pipe_are_whole(clips: dict[str, Path], kind: str) -> None:
    for command in (
        ["ffmpeg", "-v", "error", "-i", str(clips["wav"]), "-f", kind, "pipe:1"],
        [
            "sh",
            "-c",
            f"sox -D '{clips['wav']}' -t raw - | sox -t raw -r 44100 -e signed -b 16 -c 2 - -t {kind} - | cat",
        ],
    ):
        data = subprocess.run(command, capture_output=True, check=True).stdout
        assert not ends_early(data)
        assert (decode(data, 44100).pcm == decode(clips["wav"].read_bytes(), 44100).pcm).all()


@given(st.lists(st.tuples(st.sampled_from([b"LIST", b"fact", b"cue "]), st.binary(max_size=9))), st.binary(max_size=9))
def test_chunks_around_the_samples(others: list[tuple[bytes, bytes]], samples: bytes) -> None:
    data = riff((b"fmt ", bytes(16)), *others, (b"data", samples))
    assert not ends_early(data)
    assert not ends_early(data + b"LIST\xff")  # what lies behind the samples may be damaged
    if samples:
        assert ends_early(data[: len(data) - len(samples) % 2 - 1])


def test_other_kinds_of_file_are_not_judged() -> None:
    for data in (b"", b"R", b"RIF", b"fLaC", b"ID3", bytes(100), b".snd"):
        assert not ends_early(data)


def test_an_ogg_stream_without_its_last_page(clips: dict[str, Path]) -> None:
    data = clips["ogg"].read_bytes()
    assert not ends_early(data)
    assert not ends_early(data + b"trailing junk")
    assert ends_early(data[: data.rfind(b"OggS")])
    assert ends_early(data[:-1])


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("id3", ["0", "3"])
def test_mp3_frames_of_every_version(
    clips: dict[str, Path], tmp_path: Path, rate: int, channels: int, id3: str
) -> None:
    """LAME's header is found behind any ID3 tag, and without it the same music comes out from an open end."""
    made = {}
    for xing in ("0", "1"):
        made[xing] = tmp_path / f"{xing}.mp3"
        command = ["ffmpeg", "-v", "error", "-i", str(clips["wav"]), "-ar", str(rate), "-ac", str(channels)]
        tags = ["-id3v2_version", id3, "-metadata", f"title={'x' * 300}", "-write_xing", xing]
        subprocess.run([*command, *tags, str(made[xing])], check=True)
    count = mp3_frame_count(made["1"].read_bytes())
    assert count is not None
    per_frame = 1152 if rate >= 32000 else 576
    assert 4 * rate <= count * per_frame <= 4 * rate + 4 * per_frame
    bare = made["0"].read_bytes()
    assert mp3_frame_count(bare) is None
    opened = with_open_end(bare)
    promised = mp3_frame_count(opened)
    assert promised is not None
    assert promised >= count
    assert 4 * rate <= len(decode(bare, rate).pcm) <= (count + 1) * per_frame


@given(st.binary(max_size=4000))
def test_any_bytes_are_survived(data: bytes) -> None:
    for magic in (b"RIFF", b"RIFX", b"FORM", b".snd", b"OggS", b"ID3", b"\xff\xfb"):
        ends_early(magic + data)
        mp3_frame_count(magic + data)
        with_open_end(magic + data)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("aac", "a.aac"), ("aac", "a.m4a"), ("aac", "a.mka"), ("wmav2", "a.wma"), ("ac3", "a.ac3"), ("wavpack", "a.wv")],
)
@pytest.mark.needs("ffmpeg")
def test_audio_that_only_others_read_is_told_from_what_is_none(tmp_path: Path, codec: str, name: str) -> None:
    tone = ["-f", "lavfi", "-i", "sine=440:duration=4", "-c:a", codec]
    subprocess.run(["ffmpeg", "-loglevel", "error", *tone, tmp_path / name], check=True)
    with pytest.raises(RecordingError) as caught:
        decode((tmp_path / name).read_bytes(), 22050)
    assert caught.value.fault is Fault.UNSUPPORTED


def test_what_is_no_audio_is_not_called_unsupported() -> None:
    for data in (b"", b"\xff", b"<!doctype html>", b"\xff\xd8\xff\xe0 JPEG", b"\xff\xfb\x90\x00 MP3"):
        assert not is_unsupported(data)
