"""Shards in a bucket give the same batches as the same shards on a disk, whichever way their bytes come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loaders import WindowLoader
from sharding.storage import place_at
from tests.loaders.small_shards import CROP, indexed, recordings, write_shards
from tests.loaders.taking import content, open_loader, take
from tests.servers.s3 import needs_s3

WINDOW = 3


def upload(folder: Path, url: str) -> str:
    """Copy a folder of shards to a bucket; the URL."""
    place = place_at(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place.write(path.relative_to(folder).as_posix(), path.read_bytes())
    return url


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """60 tracks of 60 songs in 12 shards."""
    return write_shards(tmp_path / "shards", recordings(60), tracks_per_shard=5)


@needs_s3
@pytest.mark.parametrize("access", ["ranges", "stream"])
def test_pairs_equal_those_of_local_files(local: Path, bucket: str, tmp_path: Path, access: str) -> None:
    url = upload(local, f"{bucket}/shards")
    options = {"window": WINDOW, "cache": str(tmp_path / "cache"), "cache_bytes": 10**9}
    with open_loader(local, window=WINDOW) as loader:
        expected = content(take(loader, 16))  # two epochs and more
    with open_loader(url, access=access, **options) as loader:
        assert access in loader.description
        assert content(take(loader, 5)) == expected[:5]
        state = loader.state_dict()
        counts = loader.counts()
        assert counts.wanted >= 5 * 8 * 2 * CROP * 2
        assert counts.requests > 0
    with open_loader(url, access=access, **options) as loader:
        loader.load_state_dict(state)
        assert content(take(loader, 11)) == expected[5:]


@needs_s3
def test_the_way_is_chosen_and_said(local: Path, bucket: str, tmp_path: Path) -> None:
    url = upload(local, f"{bucket}/shards")
    with open_loader(url, cache=str(tmp_path / "cache"), cache_bytes=10**9) as loader:
        assert "ranges" in loader.description or "stream" in loader.description
        first = content(take(loader, 9))
        window = indexed(loader).fingerprint["window"]
    with open_loader(local, window=tuple(window)) as loader:
        assert content(take(loader, 9)) == first


@needs_s3
def test_a_mixture_of_local_and_remote(local: Path, bucket: str, tmp_path: Path) -> None:
    other = write_shards(tmp_path / "other", recordings(40, seed=5, split="train"))
    url = upload(local, f"{bucket}/shards")
    with open_loader({str(local): 0.75, str(other): 0.25}) as loader:
        expected = take(loader, 12)
    with open_loader({url: 0.75, str(other): 0.25}, access="ranges") as loader:
        came = take(loader, 12)
    assert content(came) == content(expected)
    assert {tuple(batch.source.tolist().count(number) for number in (0, 1)) for batch in came} == {(6, 2)}


@needs_s3
def test_windows_equal_those_of_local_files(local: Path, bucket: str) -> None:
    url = upload(local, f"{bucket}/shards")
    for rank in range(2):
        settings: dict[str, Any] = {"batch_size": 16, "window_frames": CROP // 2, "rank": rank, "world_size": 2}
        with WindowLoader(local, **settings) as here, WindowLoader(url, **settings) as there:
            for one, other in zip(here, there, strict=True):
                assert one.pcm.numpy().tobytes() == other.pcm.numpy().tobytes()
                assert one.position.tolist() == other.position.tolist()
