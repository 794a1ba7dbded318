"""Reading by ranges: the bytes of a file for any sequence of seeks and reads, in few requests."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sharding.storage import place_at, ranged
from sharding.storage.ranged import RangedFile
from tests.servers.s3 import needs_s3

DATA = os.urandom(5000)

STEP = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 6000)),
    st.tuples(st.just("set"), st.integers(0, 6000)),
    st.tuples(st.just("end"), st.integers(-5000, 100)),
)


class Requests:
    """A file of bytes behind requests, which are noted."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def __call__(self, begin: int, end: int) -> memoryview:
        assert 0 <= begin < end <= len(self.data)
        self.asked.append((begin, end))
        return memoryview(self.data)[begin:end]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of few bytes."""
    monkeypatch.setattr(ranged, "BLOCK", 16)
    monkeypatch.setattr(ranged, "RANGE", 128)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("buffered", [True, False])
def test_any_sequence_of_seeks_and_reads(buffered: bool) -> None:
    @given(st.binary(max_size=2000), st.integers(0, 200), st.lists(STEP, max_size=30))
    def agrees(data: bytes, first: int, steps: list[tuple[str, int]]) -> None:
        raw = RangedFile(Requests(data), len(data), memoryview(data)[:first])
        file = io.BufferedReader(raw, 64) if buffered else raw
        true = io.BytesIO(data)
        for kind, number in steps:
            if kind == "read" and (buffered or number == -1):
                assert file.read(number) == true.read(number)
            elif kind == "read":  # a raw file may give less, but something
                got = file.read(number) or b""
                assert got == true.read(len(got))
                assert got or not number or true.tell() >= len(data)
            elif kind == "end" and number >= -len(data):
                assert file.seek(number, io.SEEK_END) == true.seek(number, io.SEEK_END)
            elif kind == "set":
                assert file.seek(number) == true.seek(number)

    agrees()


@pytest.mark.usefixtures("small")
def test_a_stream_asks_for_longer_and_longer_ranges() -> None:
    requests = Requests(DATA)
    with io.BufferedReader(RangedFile(requests, len(DATA), memoryview(DATA)[:16]), 16) as file:
        while file.read(16):
            pass
    lengths = [end - begin for begin, end in sorted(requests.asked)]
    assert lengths[:4] == [32, 64, 128, 128]
    assert sum(lengths) == len(DATA) - 16
    assert len(lengths) == 2 + -(-(len(DATA) - 16 - 32 - 64) // 128)


@pytest.mark.usefixtures("small")
def test_a_look_elsewhere_asks_for_a_block() -> None:
    requests = Requests(DATA)
    file = RangedFile(requests, len(DATA), memoryview(DATA)[:16])
    file.seek(1000)
    assert file.read(3) == DATA[1000:1003]
    file.seek(0)
    assert file.read(3) == DATA[:3]  # was there already
    assert requests.asked == [(992, 1008)]


@pytest.mark.usefixtures("small")
def test_memory_is_bounded() -> None:
    file = RangedFile(Requests(DATA), len(DATA), memoryview(b""))
    while file.read(50):
        assert sum(end - begin for begin, end in file._ranges) <= (ranged.AHEAD + 2) * 128
    for position in range(0, 5000, 37):
        file.seek(position)
        file.read(1)
        assert len(file._ranges) <= ranged.KEPT


@pytest.mark.usefixtures("small")
def test_a_failed_range_is_raised_where_it_is_read_and_can_be_asked_for_again() -> None:
    broken = {1000}

    def fetch(begin: int, end: int) -> memoryview:
        if any(begin <= place < end for place in broken):
            raise OSError(5, "broken")
        return memoryview(DATA)[begin:end]

    file = io.BufferedReader(RangedFile(fetch, len(DATA), memoryview(DATA)[:128]), 16)
    got: list[bytes] = []
    with pytest.raises(OSError, match="broken"):
        got.extend(iter(lambda: file.read(16), b""))
    assert 500 < len(b"".join(got)) <= 1000
    broken.clear()
    assert b"".join(got) + file.read() == DATA


def test_a_closed_file_is_closed() -> None:
    file = RangedFile(Requests(DATA), len(DATA), memoryview(DATA)[:10])
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    with pytest.raises(ValueError, match="negative"):
        RangedFile(Requests(DATA), len(DATA), memoryview(b"")).seek(-1)


@needs_s3
def test_libsndfile_reads_a_header_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.flac", [0.1, -0.1] * 40_000, 22_050)
    place = place_at(bucket)
    place.write("tone.flac", (tmp_path / "tone.flac").read_bytes())
    with place.open("tone.flac") as file, soundfile.SoundFile(file) as sound:
        assert (sound.frames, sound.samplerate) == (80_000, 22_050)
        sound.seek(79_000)
        assert len(sound.read()) == 1_000


@needs_s3
def test_a_long_file_streams_from_a_bucket(bucket: str) -> None:
    data = os.urandom(1 << 20) * 45
    place = place_at(bucket)
    place.write("long", data)
    assert place.read("long") == data
    with place.open("long") as file:
        parts = []
        while part := file.read(1_234_567):
            parts.append(part)
        file.seek(20_000_000)
        assert file.read(10) == data[20_000_000:20_000_010]
    assert b"".join(parts) == data
