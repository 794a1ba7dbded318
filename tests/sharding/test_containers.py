"""What a header promises: lengths left open, chunks around the samples, files that break off."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sharding.containers import FFMPEG_DEMUXERS, JUDGES, ends_early, ffmpeg_demuxer
from sharding.decode import decode
from tests.sharding.refusals import ffmpeg

MUSIC = {  # file name -> what ffmpeg needs to know to write it
    "a.m4a": ("-c:a", "aac"),
    "index in front.m4a": ("-c:a", "aac", "-movflags", "+faststart"),
    "fragments.mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000"),
    "a.caf": ("-c:a", "alac"),
    "a.wma": ("-c:a", "wmav2"),
    "a.mka": ("-c:a", "aac"),
    "a.webm": ("-c:a", "libopus"),
    "a.wv": ("-c:a", "wavpack"),
    "speex.ogg": ("-c:a", "libspeex", "-ar", "16000", "-ac", "1"),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
}
DEMUXERS = {
    "a.m4a": "mov",
    "a.wma": "asf",
    "a.mka": "matroska",
    "a.wv": "wv",
    "a.tta": "tta",
    "a.caf": "caf",
    "a.oga": "ogg",
    "a.aac": "aac",
    "a.ac3": "ac3",
    "a.eac3": "eac3",
}


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def box(name: bytes, payload: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(payload) if size is None else size) + name + payload


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


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("kind", ["matroska", "asf", "caf"])
def test_what_ffmpeg_writes_to_a_pipe_is_whole(clips: dict[str, Path], kind: str) -> None:
    codec = {"matroska": "aac", "asf": "wmav2", "caf": "pcm_s16be"}[kind]
    command = ["ffmpeg", "-v", "error", "-i", str(clips["wav"]), "-c:a", codec, "-f", kind, "pipe:1"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    assert not ends_early(data)
    assert len(decode(data, 44100).pcm) > 3.9 * 44100  # the WMA encoder drops its last, incomplete frame


@given(st.lists(st.tuples(st.sampled_from([b"LIST", b"fact", b"cue "]), st.binary(max_size=9))), st.binary(max_size=9))
def test_chunks_around_the_samples(others: list[tuple[bytes, bytes]], samples: bytes) -> None:
    data = riff((b"fmt ", bytes(16)), *others, (b"data", samples))
    assert not ends_early(data)
    assert not ends_early(data + b"LIST\xff")  # what lies behind the samples may be damaged
    if samples:
        assert ends_early(data[: len(data) - len(samples) % 2 - 1])


def test_boxes_of_an_mp4() -> None:
    front = box(b"ftyp", b"M4A ")
    moov, mdat = box(b"moov", bytes(50)), box(b"mdat", bytes(100))
    for whole in (
        front + moov + mdat,
        front + mdat + moov,
        front + moov + mdat + b"tail",  # junk behind the samples
        front + moov + mdat + box(b"free", size=500),
        front + moov + box(b"mdat", bytes(100), size=0),  # to the end of the file
        front + moov + box(b"mdat", struct.pack(">Q", 116) + bytes(100), size=1),  # a 64-bit size
        front + moov + 3 * (box(b"moof", bytes(20)) + mdat),
    ):
        assert not ends_early(whole)
    for cut in (
        front + mdat,  # without its index
        front + moov,
        front + moov + mdat[:-1],
        front + mdat + moov[:-1],
        front + moov + box(b"mdat", struct.pack(">Q", 117) + bytes(100), size=1),
        front + moov + mdat + box(b"moof", bytes(20))[:-1],
    ):
        assert ends_early(cut)


def test_sizes_of_a_monkeys_audio_file() -> None:
    # magic, version, padding, bytes of: descriptor, header, seek table, WAV header, frames (64 bits), end; MD5 sum
    whole = struct.pack("<4sH2x4IQI16s", b"MAC ", 3990, 52, 24, 8, 44, 1000, 6, bytes(16)).ljust(
        52 + 24 + 8 + 1050, b"x"
    )
    assert not ends_early(whole)
    assert not ends_early(whole + b"APETAGEX")
    for size in (20, 51, 52, 1000, len(whole) - 1):
        assert ends_early(whole[:size])
    old = whole[:4] + struct.pack("<H", 3970) + whole[6:100]
    assert not ends_early(old)  # whose fields mean something else


def test_other_kinds_of_file_are_not_judged() -> None:
    for data in (b"", b"R", b"RIF", b"fLaC", b"ID3", bytes(100), b".snd", b"RIFF\0\0\0\0AVI LIST"):
        assert not ends_early(data)


def test_an_ogg_stream_needs_whole_pages_and_no_flag_at_the_end(clips: dict[str, Path]) -> None:
    data = clips["ogg"].read_bytes()
    assert not ends_early(data)
    assert not ends_early(data + b"trailing junk")
    assert ends_early(data[:-1])
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    assert len(pages) > 5
    whole = decode(data, 44100).pcm
    for page in pages[3:]:
        assert not ends_early(data[:page])
        assert ends_early(data[: page - 1])
        for begun in (1, 2, 3, 4, 26):
            assert ends_early(data[: page + begun])
        found = decode(data[:page], 44100).pcm
        assert (found == whole[: len(found)]).all()
    assert len(whole) - 44100 < len(found) < len(whole)


@pytest.fixture(scope="module")
def music(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("containers")
    return Music({name: ffmpeg(clips["wav"], folder / name, *options) for name, options in MUSIC.items()})


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", MUSIC)
def test_whole_files_are_whole(music: dict[str, bytes], name: str) -> None:
    assert not ends_early(music[name])


class Music(dict[str, bytes]):
    """Files by name; hypothesis need not write them out."""

    def __repr__(self) -> str:
        return f"Music of {', '.join(self)}"


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", MUSIC)
@given(share=st.floats(0.02, 0.99))
@example(share=9125 / 67320)  # inside the header of a fragment
def test_files_that_break_off_are_seen(music: dict[str, bytes], name: str, share: float) -> None:
    data = music[name]
    cut = data[: int(share * len(data))]
    if name == "a.wv":  # a series of blocks: one more or less
        assert ends_early(cut) or data.startswith(b"wvpk", len(cut))
    elif name.startswith("fragments"):
        assert ends_early(cut) or data[len(cut) + 4 :].startswith((b"moof", b"mdat", b"mfra"))
    else:
        assert ends_early(cut)


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", DEMUXERS)
def test_audio_that_only_others_read_is_told_from_what_is_none(
    clips: dict[str, Path], name: str, tmp_path: Path
) -> None:
    codec = {"a.mka": ["-c:a", "ac3"], "a.oga": ["-c:a", "flac"], "a.caf": ["-c:a", "alac"]}.get(name, [])
    data = ffmpeg(clips["wav"], tmp_path / name, *codec)
    assert ffmpeg_demuxer(data) == DEMUXERS[name]
    if name in {"a.aac", "a.ac3"}:
        assert ffmpeg_demuxer(b"ID3\x03\0\0\0\0\x02\0" + bytes(256) + data) == DEMUXERS[name]


def test_what_is_no_audio_is_not_called_so() -> None:
    for data in (b"", b"\xff", b"<!doctype html>", b"\xff\xd8\xff\xe0 JPEG", b"\xff\xfb\x90\x00 MP3", b"ID3"):
        assert ffmpeg_demuxer(data) is None
    for text in (
        b"#EXTM3U\nfile.ts\n",
        b"ffconcat version 1.0\nfile a\n",
        b"<?xml?><MPD>",
        b"v=0\r\no=- 0 0 IN IP4\r\n",
    ):
        assert ffmpeg_demuxer(text) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes) -> None:
    for offset, magic, *_ in (*JUDGES, *FFMPEG_DEMUXERS):
        ends_early(bytes(offset) + magic + data)
        ffmpeg_demuxer(bytes(offset) + magic + data)
    ends_early(b"RIFF" + data[:4].ljust(4) + b"WAVE" + data)
