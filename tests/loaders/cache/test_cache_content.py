"""A cache can be looked at and emptied, while it is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from loaders.cache.content import cache_content, clear
from loaders.cache.folder import CacheFolder, RemoteShard
from loaders.cache.locks import HeldShard, Part


def fill(root: Path, number: int) -> list[Path]:
    """Shards of 10 bytes, the last of them used last."""
    folder = CacheFolder(root)
    paths = []
    for shard in range(number):
        remote = RemoteShard(f"s3://bucket/{shard}.tar", 10, None, "")
        folder.write_note(remote)
        path = folder.shard(remote.key)
        path.write_bytes(bytes(10))
        os.utime(path, (0, 100 + shard))
        paths.append(path)
    return paths


def test_what_is_there(tmp_path: Path) -> None:
    paths = fill(tmp_path, 3)
    paths[0].with_suffix(".json").write_text("{")
    held = HeldShard(paths[1])
    content = cache_content(tmp_path)
    assert [(shard.url, shard.size, shard.last_use, shard.in_use) for shard in content] == [
        ("s3://bucket/2.tar", 10, 102, False),
        ("s3://bucket/1.tar", 10, 101, True),
        ("", 10, 100, False),  # its note is damaged
    ]
    del held


def test_what_nobody_uses_goes(tmp_path: Path) -> None:
    paths = fill(tmp_path, 3)
    (tmp_path / "foreign").write_text("stays")
    held, part = HeldShard(paths[1]), Part(tmp_path / f"{'0' * 40}.part")
    assert clear(tmp_path) == 20
    assert {path.name for path in tmp_path.iterdir()} == {
        *(".clmr-cache", "jobs", "foreign"),
        *(paths[1].name, paths[1].with_suffix(".json").name, part.path.name),
    }
    del held, part
    assert clear(tmp_path) == 10
    assert {path.name for path in tmp_path.iterdir()} == {".clmr-cache", "jobs", "foreign"}


def test_a_folder_that_is_no_cache(tmp_path: Path) -> None:
    assert cache_content(tmp_path / "none") == []
    assert clear(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()
    for use in (cache_content, clear):
        with pytest.raises(ConfigError, match="is no cache of shards"):
            use(tmp_path)
