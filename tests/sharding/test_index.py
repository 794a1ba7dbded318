"""The index: columns are read when they are needed, and only what is asked for."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError, ShardError
from sharding import index as index_module
from sharding.build import build
from sharding.format import INDEX_SCHEMA, Index, open_shards
from sharding.index import open_index, read_index
from sharding.plan import BuildSettings
from sharding.storage import LocalPlace
from tests.servers.web import files_of, serving

ROWS = 100


def make_table() -> pa.Table:
    """Rows that all differ, some of them skipped."""
    random = np.random.default_rng(0)
    rows = [
        {
            "key": f"key-{number}",
            "dataset": "test",
            "split": "train",
            "status": "skipped" if number % 7 == 3 else "written",
            "shard": None if number % 7 == 3 else f"train/{number // 30:06d}.tar",
            "frames": None if number % 7 == 3 else number,
            "song_id": f"song-{number // 2}",
            "labels": [f"label {number % 5}"] * (number % 3),
            "source": f"{number}.mp3",
            "levels": None if number % 7 == 3 else random.bytes(number % 9),
        }
        for number in range(ROWS)
    ]
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index of several row groups."""
    root = tmp_path_factory.mktemp("index")
    pq.write_table(make_table(), root / "index.parquet", row_group_size=33)
    return open_index(LocalPlace(root), "index.parquet")


@given(
    chosen=st.sets(st.integers(0, ROWS - 1)),
    columns=st.lists(st.sampled_from(INDEX_SCHEMA.names), min_size=1, unique=True),
    batch_rows=st.integers(1, 50),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_and_columns(
    small: Index, monkeypatch: pytest.MonkeyPatch, chosen: set[int], columns: list[str], batch_rows: int
) -> None:
    monkeypatch.setattr(index_module, "BATCH_ROWS", batch_rows)
    rows = np.array(sorted(chosen), np.int64)
    found, right = small.at(rows), make_table().take(pa.array(rows))
    assert found.num_rows == len(rows)
    table = found.select(columns)
    assert table.column_names == columns
    assert table.to_pylist() == right.select(columns).to_pylist()
    assert found[columns[0]].to_pylist() == right[columns[0]].to_pylist()
    assert found.to_pylist() == right.to_pylist()


@given(chosen=st.sets(st.integers(0, ROWS - 1)), batch_rows=st.integers(1, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_are_joined(small: Index, monkeypatch: pytest.MonkeyPatch, chosen: set[int], batch_rows: int) -> None:
    monkeypatch.setattr(index_module, "BATCH_ROWS", batch_rows)
    rows = np.array([row for row in sorted(chosen) if row % 7 != 3], np.int64)
    expected = make_table()["levels"].take(pa.array(rows)).to_pylist()
    assert small.at(rows).binary("levels", rows % 9).tobytes() == b"".join(expected)


def test_bytes_of_another_length_are_named(small: Index) -> None:
    rows = np.array([20, 50, 60])
    with pytest.raises(ShardError, match=r"index.parquet: levels of key-50 has 5 bytes, not 6: run `python -m"):
        small.at(rows).binary("levels", np.array([2, 6, 6]))


def test_a_column_is_kept_and_a_table_is_not(small: Index) -> None:
    assert small["key"] is small["key"]
    assert small.select(["key"]) is not small.select(["key"])


def test_an_index_that_was_replaced_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    pq.write_table(make_table(), path)
    opened = open_index(LocalPlace(tmp_path), "index.parquet")
    copy = path.read_bytes()
    path.write_bytes(copy)  # the same content may come again
    assert opened.select(["key"]).num_rows == ROWS
    other = make_table().to_pylist()
    other[5]["key"] = "zzz"
    pq.write_table(pa.Table.from_pylist(other, schema=INDEX_SCHEMA), path)
    with pytest.raises(ShardError, match=r"index.parquet was replaced while in use; start again"):
        opened.select(["song_id"])


def test_damage_is_named_when_a_column_is_read(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    pq.write_table(make_table(), path)
    opened = open_index(LocalPlace(tmp_path), "index.parquet")
    data = bytearray(path.read_bytes())
    begin = opened.metadata.row_group(0).column(INDEX_SCHEMA.get_field_index("source")).dictionary_page_offset
    data[begin : begin + 20] = bytes(20)
    path.write_bytes(data)
    assert opened.select(["key"]).num_rows == ROWS
    with pytest.raises(ShardError, match=r"index.parquet cannot be read"):
        opened.select(["source"])
    os.truncate(path, 100)
    with pytest.raises(ShardError, match=r"index.parquet cannot be read"):
        opened.select(["key"])
    path.unlink()
    with pytest.raises(ShardError, match=r"index.parquet cannot be read \(.*No such file"):
        opened.select(["key"])


def test_text_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    pq.write_table(make_table(), path, compression="none")
    opened = open_index(LocalPlace(tmp_path), "index.parquet")
    path.write_bytes(path.read_bytes().replace(b"17.mp3", b"17.mp\xb6"))
    for read in (partial(opened.select, ["source"]), partial(read_index, opened.place, opened.name)):
        with pytest.raises(ShardError, match=r"index.parquet cannot be read \(.*UTF8"):
            read()


def test_shards_without_levels_are_refused_and_made_again(shards: Path, corpus: Path, tmp_path: Path) -> None:
    """Those of a version that had no such column."""
    root = shutil.copytree(shards, tmp_path / "shards")
    for path in (root / "index.parquet", *root.glob("*/*.parquet")):
        pq.write_table(pq.read_table(path).drop_columns(["levels"]), path)
    with pytest.raises(ShardError, match=r"index.parquet has other columns than format version 1; delete it and build"):
        open_shards(root)
    build(corpus, root, BuildSettings("folder", shard_size=600 * 2**10), jobs=1)
    for path in (path for path in shards.rglob("*") if path.is_file()):
        assert (root / path.relative_to(shards)).read_bytes() == path.read_bytes()


def test_shards_on_a_web_server_open(shards: Path) -> None:
    files = {str(path.relative_to(shards)): path.read_bytes() for path in shards.rglob("*") if path.is_file()}
    local = open_shards(shards).tracks()
    with serving(files_of(files)) as url:
        opened = open_shards(url)
        tracks = opened.tracks()
        assert tracks.shard_names == local.shard_names
        for name in ("shard", "pcm_offset", "frames", "song", "row"):
            np.testing.assert_array_equal(getattr(tracks, name), getattr(local, name))
        assert tracks.table.to_pylist() == local.table.to_pylist()
        with pytest.raises(ConfigError, match=r"http://.*: a folder on a disk is needed here; copy the shards to one"):
            _ = opened.root
        files["train/000001.tar"] += b"x"
        with pytest.raises(ShardError, match=r"http://.*/train/000001.tar has \d+ bytes, not \d+"):
            opened.tracks()
        del files["train/000001.tar"]
        with pytest.raises(ShardError, match=r"http://.*/train/000001.tar is missing"):
            opened.tracks()
