"""Audio files give the samples that shards would hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from clmr.errors import SourceError
from sharding.decode import decode
from sharding.storage import LocalPlace
from train.embedding import decoding
from train.embedding.decoding import DecodedFiles, Outcome
from train.embedding.windows import Grid, Pcm

pytestmark = pytest.mark.needs("ffmpeg")

USABLE = ("a.wav", "Ünïcode 名/b.mp3", "disc 1/söng.ogg", "disc 1/söng.flac", "disc 2/song.m4a", "disc 2/söng.wav")


def decoded(folder: Path, names: tuple[str, ...], grid: Grid, threads: int) -> list[tuple[list[Pcm], Outcome]]:
    """The windows and the outcome of each file."""
    found: list[tuple[list[Pcm], Outcome]] = []
    windows: list[Pcm] = []
    with DecodedFiles(LocalPlace(folder), names, (1,) * len(names), grid, threads) as files:
        for item in files:
            if isinstance(item, Outcome):
                found.append((windows, item))
                windows = []
            else:
                windows.append(item)
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_samples_are_the_sharder_s(folder: Path, threads: int) -> None:
    grid = Grid(22050, 59049, 22050)
    for name, (windows, outcome) in zip(USABLE, decoded(folder, USABLE, grid, threads), strict=True):
        whole = decode((folder / name).read_bytes(), 22050).pcm
        assert outcome == Outcome(len(whole), grid.count(len(whole)), None)
        expected = np.stack(
            [whole[start : start + grid.window] for start in range(0, len(whole) - grid.window + 1, grid.hop)]
        )
        np.testing.assert_array_equal(np.concatenate(windows), expected)


def test_faults_after_windows_have_come(folder: Path) -> None:
    (broken, first), (silent, second), (none, third) = decoded(
        folder, ("broken.flac", "silent.wav", "short.wav"), Grid(8000, 20736, 4000), 2
    )
    assert broken
    assert silent
    assert not none
    assert [first, second, third] == [Outcome(fault=fault) for fault in ("truncated", "silent", "too_short")]


def test_giving_up_ends_the_threads(folder: Path) -> None:
    names = ("disc 2/söng.wav",) * 50
    with DecodedFiles(LocalPlace(folder), names, (1,) * 50, Grid(8000, 20736, 10), 4) as files:
        assert len(next(iter(files))) == decoding.CHUNK  # type: ignore[arg-type]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shard-reader")]


def test_a_decoder_that_was_stopped_is_no_fault_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise SourceError("ffmpeg was stopped")

    monkeypatch.setattr(decoding, "read_source", stopped)
    with pytest.raises(SourceError, match="ffmpeg was stopped"):
        decoded(folder, ("a.wav",), Grid(8000, 20736, 20736), 1)


def test_an_endless_recording_is_decoded_no_further_than_the_queue(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    def endless(*_: object) -> Iterator[npt.NDArray[np.float32]]:
        nonlocal made
        while True:
            made += 1
            yield np.full(80, 0.5, np.float32)

    monkeypatch.setattr(decoding, "resampled", endless)
    taken = 0
    with DecodedFiles(LocalPlace(folder), ("a.wav",), (1,), Grid(8000, 80, 80), 1) as files:
        for windows in files:
            assert not isinstance(windows, Outcome)
            taken += len(windows)
            assert made <= taken + (decoding.CHUNKS + 1) * decoding.CHUNK
            if taken > 5000:
                break


def test_large_files_are_read_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading: set[str] = set()
    together: list[int] = []

    def read(_: object, name: str) -> bytes:
        reading.add(name)
        together.append(len(reading))
        return (folder / "disc 2" / "söng.wav").read_bytes()

    monkeypatch.setattr(decoding, "read_source", read)
    names, sizes = [str(number) for number in range(6)], [decoding.FILE_BYTES, 2 * decoding.FILE_BYTES] * 3
    with DecodedFiles(LocalPlace(folder), names, sizes, Grid(8000, 20736, 20736), 4) as files:
        done = 0
        for item in files:
            if isinstance(item, Outcome):
                reading.discard(names[done])
                done += 1
    assert (done, together) == (6, [1] * 6)
