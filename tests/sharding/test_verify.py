"""verify: whatever is changed, in whatever file, is found and named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clmr.errors import ShardError
from sharding.build import build
from sharding.consistency import first_difference
from sharding.format import open_shards
from sharding.plan import BuildSettings
from sharding.verify import verify

Sharder = Callable[..., subprocess.CompletedProcess[str]]
TAR = "train/000001.tar"


@pytest.fixture(scope="module")
def copy(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that a test may change, if it changes them back."""
    return shutil.copytree(shards, tmp_path_factory.mktemp("copy") / "shards")


def fault(root: Path) -> str:
    with pytest.raises(ShardError) as caught:
        verify(str(root))
    return str(caught.value)


def test_whole_shards_pass(shards: Path, sharder: Sharder) -> None:
    done = sharder("verify", shards)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{shards}: 14 tracks in ")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_tar_is_found(copy: Path, share: float, bit: int) -> None:
    path = copy / TAR
    whole = path.read_bytes()
    place = int(share * len(whole))
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    try:
        message = fault(copy)
    finally:
        path.write_bytes(whole)
    assert message.startswith(f"{path} byte")
    rows = [row for row in open_shards(copy).index.to_pylist() if row["shard"] == TAR]
    row = next((row for row in rows if 0 <= place - row["pcm_offset"] < 2 * row["frames"]), None)
    if row is None:
        assert f"byte {place}:" in message
    else:
        assert (
            f"bytes {row['pcm_offset']} to {row['pcm_offset'] + 2 * row['frames']}: the samples of {row['key']}"
            in message
        )


def restore(path: Path) -> Callable[[], object]:
    whole = path.read_bytes()
    return lambda: path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (TAR, lambda path: os.truncate(path, path.stat().st_size - 512), "train/000001.tar has "),
        (TAR, lambda path: path.unlink(), "train/000001.tar is missing"),
        ("train/000001.idx", lambda path: path.unlink(), "train/000001.idx is missing"),
        (
            "train/000001.idx",
            lambda path: path.write_bytes(path.read_bytes().replace(b"json", b"jsom", 1)),
            "train/000001.idx byte ",
        ),
        ("train/000001.parquet", lambda path: path.unlink(), "its receipt 000001.parquet is missing"),
        ("train/000001.parquet", lambda path: path.write_bytes(b"PAR1"), "000001.parquet cannot be read"),
        ("index.parquet", lambda path: path.unlink(), "index.parquet cannot be read"),
        ("manifest.json", lambda path: path.unlink(), "manifest.json is missing"),
        ("manifest.json", lambda path: path.write_text("{}"), "manifest.json is damaged"),
    ],
)
def test_damaged_and_missing_files(copy: Path, name: str, change: Callable[[Path], object], message: str) -> None:
    put_back = restore(copy / name)
    change(copy / name)
    try:
        assert message in fault(copy)
    finally:
        put_back()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["written"], 13),
        (["attempted"], 15),
        (["hours"], 1.0),
        (["sample_rate"], 16000),
        (["labels"], ["fast", "drums", "piano"]),
        (["dataset"], "demo"),
        (["skipped"], {"silent": 1}),
        (["settings", "seed"], 1),
        (["software", "decoder"], "libsndfile 0"),
        (["splits", "train", 1, "sha256"], "0" * 64),
        (["splits", "train", 1, "bytes"], 1024),
        (["splits", "test"], []),
    ],
)
def test_an_edited_manifest(copy: Path, path: list[str | int], value: object) -> None:
    manifest = copy / "manifest.json"
    put_back = restore(manifest)
    edited = place = json.loads(manifest.read_text())
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    manifest.write_text(json.dumps(edited))
    try:
        assert "manifest.json" in fault(copy)
    finally:
        put_back()


@pytest.mark.parametrize(
    ("column", "value"),
    [("frames", 1), ("pcm_offset", 0), ("labels", ["piano"]), ("song_id", "x"), ("status", "skipped")],
)
def test_an_edited_index(copy: Path, column: str, value: object) -> None:
    path = copy / "index.parquet"
    put_back = restore(path)
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    try:
        assert f"index.parquet row 3 ({rows[3]['key']}): {column} is {value!r}, its receipt says" in fault(copy)
        pq.write_table(table.slice(0, 13), path)
        assert "index.parquet has 13 rows, the receipts have 14" in fault(copy)
    finally:
        put_back()


def test_edited_levels(copy: Path) -> None:
    table = pq.read_table(copy / "index.parquet")
    rows = table.to_pylist()
    key, right = rows[3]["key"], rows[3]["levels"]
    rows[3]["levels"] = right[:5] + bytes([right[5] ^ 1]) + right[6:]
    put_back = restore(copy / "index.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), copy / "index.parquet")
    try:
        assert f"row 3 ({key}): levels differ from those of its receipt at byte 5" in fault(copy)
    finally:
        put_back()


def test_levels_that_are_not_those_of_the_samples(shards: Path, corpus: Path, tmp_path: Path) -> None:
    """Where index and manifest repeat what a receipt says."""
    root = shutil.copytree(shards, tmp_path / "shards")
    edit_receipt(root / "train/000000.parquet", "levels", bytes(9))
    build(corpus, root, BuildSettings("folder", shard_size=600 * 2**10), jobs=1)
    key = pq.read_table(root / "train/000000.parquet")["key"][0].as_py()
    assert f"the samples of {key} have other levels than index.parquet says; delete " in fault(root)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit_receipt(path: Path, column: str, value: object) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train/000000.tar", lambda path: flip(path, 0)),
        ("train/000000.tar", lambda path: flip(path, 5000)),
        ("train/000000.tar", lambda path: flip(path, path.stat().st_size - 1)),
        ("train/000000.idx", lambda path: flip(path, 20)),
        ("train/000000.parquet", lambda path: edit_receipt(path, "labels", ["violin"])),
        ("train/000000.parquet", lambda path: edit_receipt(path, "pcm_offset", 0)),
        ("train/000000.parquet", lambda path: edit_receipt(path, "levels", bytes(9))),
        ("valid/000077.tar", lambda path: path.write_bytes(bytes(1024))),
    ],
)
def test_the_remedy_heals(
    shards: Path, corpus: Path, tmp_path: Path, name: str, change: Callable[[Path], object]
) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    change(root / name)
    settings = BuildSettings("folder", shard_size=600 * 2**10)
    if name.endswith(".parquet"):
        build(corpus, root, settings, jobs=1)  # the index and the manifest repeat what the receipt says
    remedy = re.search(
        r"delete (\S+) and build again$",
        fault(root).replace("belongs to no receipt; delete it", f"delete {root / name}"),
    )
    assert remedy is not None
    Path(remedy[1]).unlink()
    build(corpus, root, settings, jobs=1)
    verify(str(root))
    assert (root / "manifest.json").read_bytes() == (shards / "manifest.json").read_bytes()


def test_a_stray_shard(copy: Path) -> None:
    stray = copy / "train/000099.tar"
    stray.write_bytes(bytes(1024))
    try:
        assert "train/000099.tar belongs to no receipt" in fault(copy)
    finally:
        stray.unlink()


def test_a_fault_is_one_line_and_exit_code_1(copy: Path, sharder: Sharder) -> None:
    put_back = restore(copy / TAR)
    os.truncate(copy / TAR, 100)
    try:
        done = sharder("verify", copy)
    finally:
        put_back()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sharder("verify", copy / "nowhere").returncode == 1


def test_first_difference() -> None:
    assert first_difference(b"abc", b"abd") == 2
    assert first_difference(b"ab", b"abd") == 2
    assert first_difference(b"", b"x") == 0


@pytest.mark.parametrize("name", ["train/000001.parquet", "index.parquet", "manifest.json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(place=0.25, bit=7)  # a text that is UTF-8 no more
@example(place=0.34765625, bit=7)  # nor is a column's name
def test_no_bit_of_the_tables_may_flip(copy: Path, name: str, place: float, bit: int) -> None:
    """Those too that change nothing which anybody reads."""
    data = bytearray((copy / name).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    put_back = restore(copy / name)
    (copy / name).write_bytes(data)
    try:
        assert fault(copy)
    finally:
        put_back()


def test_a_manifest_cut_short_by_one_byte(copy: Path) -> None:
    put_back = restore(copy / "manifest.json")
    size = (copy / "manifest.json").stat().st_size
    os.truncate(copy / "manifest.json", size - 1)
    try:
        assert f"manifest.json byte {size - 1}: not as a build writes it" in fault(copy)
    finally:
        put_back()
