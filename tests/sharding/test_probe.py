"""Lengths and sizes out of headers, on a file system and in a bucket."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NoReturn
from unittest.mock import Mock

import pytest

from clmr.errors import StorageError
from sharding.datasets.catalog import Probe
from sharding.probe import probe
from sharding.storage import LocalPlace, place_at
from sharding.storage.ranged import BLOCK, RangedFile
from tests.servers.s3 import needs_s3
from tests.sharding.refusals import ffmpeg, wav


class Bucket:
    """Files as an object store holds them, and the ranges that were asked for."""

    root = None

    def __init__(self, files: dict[str, bytes], failure: Exception | None = None) -> None:
        self.files = files
        self.failure = failure
        self.requests: list[tuple[int, int]] = []

    def open(self, name: str) -> BinaryIO:
        data = memoryview(self.files[name])

        def fetch(begin: int, end: int) -> memoryview:
            if self.failure:
                raise self.failure
            self.requests.append((begin, end))
            return data[begin:end]

        self.requests.append((0, BLOCK))
        return io.BufferedReader(RangedFile(fetch, len(data), data[:BLOCK]), BLOCK)

    def probe(self, name: str) -> Probe:
        return probe(Mock(root=None, open=self.open), name)


def test_local_files(clips: dict[str, Path]) -> None:
    for path in clips.values():
        found = probe(LocalPlace(path.parent), path.name)
        assert found.seconds == pytest.approx(4.0, rel=0.01)
        assert found.bytes == path.stat().st_size


def test_a_bucket_tells_the_same_in_a_few_requests(clips: dict[str, Path]) -> None:
    place = Bucket({extension: path.read_bytes() for extension, path in clips.items()})
    for extension, path in clips.items():
        place.requests.clear()
        assert place.probe(extension) == probe(LocalPlace(path.parent), path.name)
        assert len(place.requests) <= 3, (extension, place.requests)


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("xing", ["0", "1"])
def test_the_header_of_an_mp3_is_enough(clips: dict[str, Path], xing: str, tmp_path: Path) -> None:
    """Also behind a picture, and also without a Xing header: one or two blocks, never the whole file."""
    data = ffmpeg(clips["wav"], tmp_path / "a.mp3", "-af", "aloop=20:size=200000", "-b:a", "320k", "-write_xing", xing)
    size = 1_000_000
    id3 = b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
    for front, requests in ((b"", 1), (id3, 2)):
        place = Bucket({"a.mp3": front + data})
        found = place.probe("a.mp3")
        assert found.seconds == pytest.approx(84, rel=0.4 if front and xing == "0" else 0.01)
        assert found.bytes == len(front + data)
        assert len(place.requests) == requests


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize(("name", "least", "most"), [("a.m4a", 3, 6), ("a.wma", 3, 6), ("a.wv", 2, 8), ("a.tta", 2, 8)])
def test_what_only_ffmpeg_reads_is_guessed_by_its_size(
    clips: dict[str, Path], name: str, least: float, most: float, tmp_path: Path
) -> None:
    """Else a library of them would be one shard."""
    data = ffmpeg(clips["wav"], tmp_path / name, *(["-b:a", "128k"] if name in {"a.m4a", "a.wma"} else []))
    found = probe(LocalPlace(tmp_path), name)
    assert least < found.seconds < most
    assert found.bytes == len(data)
    assert Bucket({name: data}).probe(name) == found


@pytest.mark.parametrize("path", ["absent.wav", "dangling.wav", "loop.wav", "folder.wav", "pipe.wav", "empty.wav"])
def test_what_cannot_be_read(unreadable: Path, path: str) -> None:
    assert probe(LocalPlace(unreadable), path) == Probe()


def test_a_file_without_permission(not_root: Path) -> None:
    path = not_root / "secret.wav"
    path.write_bytes(wav([0.5]))
    path.chmod(0)
    assert probe(LocalPlace(not_root), path.name) == Probe(0.0, path.stat().st_size)


@pytest.mark.parametrize("data", [b"", b"<html>" * 1000, wav([0.5] * 10, rate=10)])
def test_what_says_nothing_has_a_size_only(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    assert probe(LocalPlace(tmp_path), "a") == Probe(0.0, len(data))
    assert Bucket({"a": data}).probe("a") == Probe(0.0, len(data))


@pytest.mark.parametrize("failure", [FileNotFoundError(2, "no"), PermissionError(13, "no")])
def test_a_file_that_a_bucket_does_not_give(failure: OSError) -> None:
    assert probe(Mock(root=None, open=Mock(side_effect=failure)), "song.ogg") == Probe()


def test_a_bucket_that_stops_answering_is_heard_through_libsndfile(
    clips: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The first block is there; the end of the Ogg file is not."""
    data = clips["ogg"].read_bytes()
    data = data[: data.rfind(b"OggS")] + bytes(1 << 20)
    assert Bucket({"a.ogg": data}, failure=OSError("gone")).probe("a.ogg") == Probe(0.0, len(data))
    with pytest.raises(StorageError, match="no answer"):
        Bucket({"a.ogg": data}, failure=StorageError("no answer")).probe("a.ogg")
    assert capfd.readouterr() == ("", "")

    def refuse(name: str) -> NoReturn:
        raise StorageError(name)

    with pytest.raises(StorageError, match="song"):
        probe(Mock(root=None, open=refuse), "song")


@needs_s3
def test_a_real_bucket(clips: dict[str, Path], bucket: str) -> None:
    place = place_at(f"{bucket}/music")
    for path in clips.values():
        place.write(path.name, path.read_bytes())
        assert probe(place, path.name) == probe(LocalPlace(path.parent), path.name)
    assert probe(place, "absent.mp3") == Probe()
