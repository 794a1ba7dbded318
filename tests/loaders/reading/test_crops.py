"""Reading crops: damage is found and named, whichever thread meets it."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clmr.errors import ShardError
from loaders import PairLoader
from tests.loaders.small_shards import CROP, WriteShards, files_of, recordings
from tests.loaders.taking import assert_refused_after_fork


def open_loader(shards: Path, **settings: Any) -> PairLoader:
    return PairLoader(shards, **{"batch_size": 8, "crop_frames": CROP, "threads": 2, **settings})


def read_epoch(loader: PairLoader) -> int:
    return sum(len(batch.pcm) for batch in loader)


def test_a_missing_shard_is_named_at_the_start(shards: Path) -> None:
    (shards / "train" / "000002.tar").unlink()
    with pytest.raises(ShardError, match=r"train/000002\.tar is missing"):
        open_loader(shards)


def test_a_shard_that_goes_missing_is_named(shards: Path) -> None:
    with open_loader(shards) as loader:
        (shards / "train" / "000002.tar").unlink()
        with pytest.raises(ShardError, match=r"train/000002\.tar cannot be opened: No such file"):
            read_epoch(loader)


def test_a_shard_of_another_size_is_named(shards: Path) -> None:
    with open_loader(shards) as loader:
        victim = shards / "train" / "000003.tar"
        size = victim.stat().st_size
        with victim.open("ab") as file:
            file.write(b"x")
        with pytest.raises(ShardError, match=rf"train/000003\.tar has {size + 1} bytes, not {size}"):
            read_epoch(loader)


def test_a_shard_cut_while_open_is_named_with_the_byte(shards: Path) -> None:
    with open_loader(shards) as loader:
        read_epoch(loader)
        victim = shards / "train" / "000001.tar"
        os.truncate(victim, 2000)
        with pytest.raises(ShardError, match=r"train/000001\.tar ends before byte \d+, \d+ bytes short"):
            read_epoch(loader)


def test_a_shard_replaced_between_two_uses_is_named(shards: Path) -> None:
    with open_loader(shards) as loader:
        files_of(loader).limit = 1  # so that every shard is closed and opened again
        read_epoch(loader)
        victim = shards / "train" / "000000.tar"
        other = victim.with_name("other.tar")
        other.write_bytes(bytes(victim.stat().st_size))
        other.replace(victim)
        with pytest.raises(ShardError, match=r"train/000000\.tar was replaced while in use"):
            read_epoch(loader)


def test_after_an_error_the_same_batch_comes_again(shards: Path) -> None:
    with open_loader(shards) as reference:
        expected = [batch.track.tolist() for batch in reference]
    with open_loader(shards, depth=1) as loader:
        seen = [batch.track.tolist() for batch in islice(loader, 2)]
        victim = shards / "train" / "000002.tar"
        whole = victim.read_bytes()
        os.truncate(victim, 1000)
        for _ in range(2):
            state = loader.state_dict()
            with pytest.raises(ShardError, match=r"000002\.tar"):
                seen.extend(batch.track.tolist() for batch in loader)
            assert state["epoch"] == 0
        with victim.open("r+b") as file:  # the same file, mended
            file.write(whole)
        files_of(loader)._versions.clear()
        seen.extend(batch.track.tolist() for batch in loader)
    assert seen == expected


def test_an_index_that_points_beyond_the_shard_is_refused(shards: Path) -> None:
    index = pq.read_table(shards / "index.parquet")
    offsets = [None if offset is None else offset + 10_000_000 for offset in index["pcm_offset"].to_pylist()]
    column = index.schema.get_field_index("pcm_offset")
    pq.write_table(index.set_column(column, index.schema.field(column), pa.array(offsets)), shards / "index.parquet")
    with pytest.raises(ShardError, match="reaches beyond the end of its shard"):
        open_loader(shards)


def test_a_forked_child_is_told_so(shards: Path) -> None:
    with open_loader(shards) as loader:
        next(iter(loader))
        assert_refused_after_fork(lambda: read_epoch(loader))
        assert read_epoch(loader) == 32  # the parent goes on


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_stay_below_the_limit(make_shards: WriteShards) -> None:
    shards = make_shards(recordings(40), tracks_per_shard=1)
    before = open_descriptors()
    with open_loader(shards, threads=4) as loader:
        files_of(loader).limit = 3
        for _ in range(3):
            for _ in loader:
                # Kept open: 3, and those of the 4 crops that each of 4 threads reads.
                assert open_descriptors() - before <= 3 + 4 * 4
    assert open_descriptors() <= before
