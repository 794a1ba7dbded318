"""Which files are embedded, by which rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from clmr.errors import SourceError
from sharding.storage import LocalPlace
from train.embedding.files import AudioFiles, list_audio


def listing(*sizes: int) -> AudioFiles:
    return AudioFiles(LocalPlace("."), tuple(map(str, range(len(sizes)))), tuple((size, 0) for size in sizes))


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("sizes", [(), (5,), (0, 0, 0, 0), (1, 10**12, 1, 1), tuple(range(100))])
def test_every_file_has_one_rank(sizes: tuple[int, ...], world_size: int) -> None:
    files = listing(*sizes)
    shares = [files.share(rank, world_size) for rank in range(world_size)]
    assert [number for share in shares for number in share] == list(range(len(sizes)))


def test_ranks_have_as_many_bytes() -> None:
    sizes = [number * 7919 % 1000 for number in range(1000)]
    files = listing(*sizes)
    loads = [sum(sizes[number] for number in files.share(rank, 4)) for rank in range(4)]
    assert max(loads) - min(loads) <= 2 * max(sizes)


@pytest.mark.needs("ffmpeg")
def test_a_folder_and_one_file(folder: Path) -> None:
    files = list_audio(folder)
    assert files.names == tuple(sorted(files.names))
    assert {"a.wav", "Ünïcode 名/b.mp3", "disc 2/söng.wav", "disc 3/söng.wav", "nowhere.mp3"} <= set(files.names)
    assert "cover.jpg" not in files.names
    assert list_audio(folder / "cover.jpg").names == ("cover.jpg",)


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="holds no audio among its 1 files"):
        list_audio(tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        list_audio(tmp_path / "gone")
