"""``python -m loaders cache``: what streaming has kept, and how to be rid of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loaders.__main__ import cli
from loaders.cache.folder import CacheFolder, RemoteShard


def cache(*options: str) -> Result:
    return CliRunner().invoke(cli, ["cache", *options])


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache of two shards."""
    root = tmp_path / "cache"
    folder = CacheFolder(root)
    with folder.locked():
        for number in range(2):
            content = bytes([number]) * (1 << 20)
            url = f"s3://bucket/shards/train/{number:06d}.tar"
            shard = RemoteShard(url, len(content), "tag", hashlib.sha256(content).hexdigest())
            folder.write_note(shard)
            folder.shard(shard.key).write_bytes(content)
    return root


def test_it_lists_what_is_there(kept: Path) -> None:
    result = cache("--cache", str(kept))
    assert result.exit_code == 0, result.output
    *shards, total = result.output.splitlines()
    assert sorted(line.split()[-1] for line in shards) == [
        "s3://bucket/shards/train/000000.tar",
        "s3://bucket/shards/train/000001.tar",
    ]
    assert all("1.0 MiB" in line for line in shards)
    assert total == f"{kept}: 2 shards, 0.00 GiB"


def test_it_clears(kept: Path) -> None:
    result = cache("--cache", str(kept), "--clear")
    assert result.output == f"{kept}: 0 shards, 0.00 GiB, 0.00 GiB freed\n"
    assert not [path for path in kept.rglob("*") if path.is_file() and path.stat().st_size >= 1 << 20]


def test_the_folder_is_the_one_of_the_environment(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLMR_CACHE", str(kept))
    assert cache().output.endswith(f"{kept}: 2 shards, 0.00 GiB\n")


def test_no_cache_is_empty(tmp_path: Path) -> None:
    assert cache("--cache", str(tmp_path / "none")).output == f"{tmp_path / 'none'}: 0 shards, 0.00 GiB\n"


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = cache("--cache", str(tmp_path), "--clear")
    assert result.exit_code == 1
    assert "is no cache of shards" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "mine").exists()
