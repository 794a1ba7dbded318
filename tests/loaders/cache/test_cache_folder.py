"""A cache folder is marked, holds what the cache wrote, and leaves everything else alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError, StorageError
from loaders.cache.folder import CacheFolder, RemoteShard, in_units
from loaders.cache.locks import Part

SHARD = RemoteShard("s3://bucket/music/train/000000.tar", 1000, "abc", "0" * 64)

texts = st.text(max_size=5)
shards = st.builds(RemoteShard, texts, st.integers(0, 9), st.none() | texts, texts)


@given(shards, shards)
def test_a_key_is_of_one_version_of_one_shard(one: RemoteShard, other: RemoteShard) -> None:
    assert (one.key == other.key) == (one == other)


def test_keys_stay_as_they_are() -> None:
    """A cache is of use to later runs, and to later versions."""
    assert SHARD.key == "0abd6ea5779df85ed78873b70a62b117a86c8f79"
    assert replace(SHARD, tag=None).key != replace(SHARD, tag="None").key


def test_a_new_folder_is_marked(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()  # the root of a disk
    CacheFolder(tmp_path)
    assert "clmr" in (tmp_path / ".clmr-cache").read_text()
    CacheFolder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".clmr-cache", "jobs", "lost+found"}


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds other files \(thesis.tex\) and is no cache of shards"):
        CacheFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match=r"thesis.tex cannot be used as cache: File exists"):
        CacheFolder(tmp_path / "thesis.tex")


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    foreign = ["notes.json", "0.part", f"{'a' * 40}.tar", f"{'g' * 40}.part"]
    for name in foreign:
        (tmp_path / name).write_text("not ours")
    key = SHARD.key
    folder.part("0" * 40).write_bytes(b"left behind")
    folder.write_note(SHARD)
    under_way = Part(folder.part("1" * 40))
    folder.shard("2" * 40).write_bytes(b"whole")
    with folder.locked():
        entries = folder.sweep()
    assert {entry.path.name: entry.size for entry in entries} == {f"{'1' * 40}.part": 0, f"{'2' * 40}.shard": 5}
    left = {path.name for path in tmp_path.iterdir()} - {".clmr-cache", "jobs"}
    assert left == {*foreign, f"{'1' * 40}.part", f"{'2' * 40}.shard"}
    assert folder.url(key) == ""
    folder.write_note(SHARD)
    assert folder.url(key) == SHARD.url
    del under_way


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "cache")
    folder.mark.unlink()
    with pytest.raises(StorageError, match="the cache was removed while in use"), folder.locked():
        pass


def test_sizes_for_people() -> None:
    assert [in_units(size) for size in (0, 1 << 20, 5 << 29, 1000 << 30)] == [
        "0 KiB",
        "1 MiB",
        "2.5 GiB",
        "1,000 GiB",
    ]
