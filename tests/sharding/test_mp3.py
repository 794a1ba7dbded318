"""MP3 frames: what a Xing header promises, and streams cut out of others, against ffmpeg and ffprobe."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.decode import decode
from sharding.faults import Fault
from sharding.mp3 import ends_on_frame, frame_count, goes_on, with_open_end
from tests.sharding.refusals import fault_of, ffmpeg, ffmpeg_decodes

ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APE = b"APETAGEX" + bytes(8) + (1 << 31).to_bytes(4, "little") + bytes(12) + b"item" * 10
APE += b"APETAGEX" + (2000).to_bytes(4, "little") + (40 + 32).to_bytes(4, "little") + (1).to_bytes(4, "little")
APE += (1 << 31).to_bytes(4, "little") + bytes(8)


@dataclass(frozen=True)
class Stream:
    """An MP3 and where its frames end, which ffprobe tells."""

    data: bytes
    ends: tuple[int, ...]


STREAMS = {
    "constant": ("-b:a", "128k"),
    "variable": ("-q:a", "2"),
    "largest": ("-b:a", "320k", "-ar", "32000"),
    "MagnaTagATune": ("-ar", "16000", "-ac", "1", "-b:a", "32k"),
    "smallest": ("-ar", "8000", "-ac", "1", "-b:a", "8k"),
}


@pytest.fixture(scope="module")
def streams(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stream]:
    """MP3s of several kinds, as LAME makes them by way of ffmpeg."""
    made = {}
    for name, options in STREAMS.items():
        path = tmp_path_factory.mktemp("mp3") / f"{name}.mp3"
        data = ffmpeg(clips["wav"], path, *options)
        command = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", str(path)]
        rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        made[name] = Stream(data, tuple(sum(map(int, row.split(",")[:2])) for row in rows))
    return made


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("id3", ["0", "3"])
def test_frames_of_every_version(clips: dict[str, Path], tmp_path: Path, rate: int, channels: int, id3: str) -> None:
    """LAME's header is found behind any ID3 tag, and without it the same music comes out from an open end."""
    options = ["-ar", str(rate), "-ac", str(channels), "-id3v2_version", id3, "-metadata", f"title={'x' * 300}"]
    made = {xing: ffmpeg(clips["wav"], tmp_path / f"{xing}.mp3", *options, "-write_xing", xing) for xing in ("0", "1")}
    count = frame_count(made["1"])
    assert count is not None
    per_frame = 1152 if rate >= 32000 else 576
    assert 4 * rate <= count * per_frame <= 4 * rate + 4 * per_frame
    bare = made["0"]
    assert frame_count(bare) is None
    promised = frame_count(with_open_end(bare))
    assert promised is not None
    assert promised >= count
    assert 4 * rate <= len(decode(bare, rate).pcm) <= (count + 1) * per_frame
    assert not goes_on(made["1"])


@pytest.mark.needs("ffmpeg", "ffprobe")
@pytest.mark.parametrize("name", STREAMS)
def test_every_end_of_a_frame_is_one_and_no_other_byte_is(streams: dict[str, Stream], name: str) -> None:
    stream = streams[name]
    ends = set(stream.ends[3:])
    assert len(ends) > 50
    assert max(ends) == len(stream.data)
    anywhere = range(min(ends), len(stream.data), len(stream.data) // 500)
    for size in {*anywhere, *range(stream.ends[30], stream.ends[33]), *ends}:
        assert ends_on_frame(stream.data[:size]) == (size in ends), size


@pytest.mark.needs("ffmpeg", "ffprobe")
@pytest.mark.parametrize("tags", [ID3V1, APE, APE + ID3V1, ID3V1 + APE], ids=["ID3v1", "APE", "APE ID3v1", "ID3v1 APE"])
def test_tags_at_the_end_are_not_audio(streams: dict[str, Stream], tags: bytes) -> None:
    stream = streams["constant"]
    end = stream.ends[70]
    assert ends_on_frame(stream.data[:end] + tags)
    for missing in (1, 100, 300):
        assert not ends_on_frame(stream.data[: end - missing] + tags)


@pytest.mark.needs("ffmpeg", "ffprobe")
@pytest.mark.parametrize("name", STREAMS)
def test_a_preview_with_the_header_of_its_song_is_accepted_in_full(
    streams: dict[str, Stream], name: str, tmp_path: Path
) -> None:
    """Cut behind a frame: as long as ffmpeg decodes it, and the beginning of the whole song to the bit."""
    stream = streams[name]
    rate = {"largest": 32000, "MagnaTagATune": 16000, "smallest": 8000}.get(name, 44100)
    whole = decode(stream.data, rate).pcm
    for end in stream.ends[20 : len(stream.ends) - 8 : 20]:
        cut = tmp_path / "cut.mp3"
        cut.write_bytes(stream.data[:end])
        found = decode(cut.read_bytes(), rate).pcm
        reference = ffmpeg_decodes(cut, 1 if rate < 32000 else 2).mean(axis=1)
        assert len(found) == len(reference) < len(whole)
        assert np.array_equal(found, whole[: len(found)])
        assert np.abs(found - reference * 32768).max() < 1


@pytest.mark.needs("ffmpeg", "ffprobe")
@given(data=st.data())
def test_a_download_that_broke_off_is_truncated(streams: dict[str, Stream], data: st.DataObject) -> None:
    stream = streams[data.draw(st.sampled_from(sorted(STREAMS)))]
    size = data.draw(st.integers(stream.ends[5], stream.ends[-8] - 1).filter(lambda size: size not in stream.ends))
    assert fault_of(stream.data[:size]) is Fault.TRUNCATED


@pytest.mark.needs("ffmpeg", "ffprobe")
def test_files_put_together_are_read_to_the_end(streams: dict[str, Stream], tmp_path: Path) -> None:
    """The header is that of the first: libsndfile alone would stop where it ends."""
    one = streams["constant"].data
    for between in (b"", ID3V1, ID3V1 + b"ID3\x03\0\0\0\0\x02\0" + bytes(256)):
        path = tmp_path / "both.mp3"
        path.write_bytes(one + between + one)
        assert goes_on(path.read_bytes())
        length = len(decode(path.read_bytes(), 44100).pcm)
        # The second header takes the place of a frame.
        assert 0 <= length - len(ffmpeg_decodes(path)) <= 1152
        assert length >= 8 * 44100


def test_an_end_is_found_only_behind_frames() -> None:
    assert not ends_on_frame(b"")
    assert not ends_on_frame(bytes(100_000))
    assert not ends_on_frame(ID3V1)
    assert not ends_on_frame(APE)
    assert not ends_on_frame(np.random.default_rng(0).bytes(100_000))


@given(st.binary(max_size=4000))
def test_any_bytes_are_survived(data: bytes) -> None:
    for magic in (b"ID3", b"\xff\xfb", b"\xff\xfb\x90\0" + bytes(32) + b"Xing", b""):
        for end in (b"", ID3V1, APE, APE[-32:]):
            frame_count(magic + data + end)
            with_open_end(magic + data + end)
            ends_on_frame(magic + data + end)
            goes_on(magic + data + end)
