"""A build replaces what builds have written and nothing else, and is alone in its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clmr.errors import ConfigError, SourceError
from sharding.build import build
from sharding.ownership import MARK
from sharding.plan import BuildSettings
from sharding.publish import claimed

SETTINGS = BuildSettings("folder", shard_size=600 * 2**10)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put(path: Path, content: bytes | None) -> None:
    """A file of somebody else; a table where there is no content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        pq.write_table(pa.table({"x": [1, 2]}), path)
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b'{"name": "my app"}'),
        ("manifest.json", b"not JSON"),
        ("index.parquet", None),
        ("train/000005.parquet", None),
        ("train/000005.parquet", b"not parquet"),
        ("train/000005.tar", bytes(10240)),
        ("test/000000.idx", b"v1.2 0\n"),
        (".lock", b"123"),
    ],
)
def test_files_of_others_are_refused_and_stay(corpus: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    put(tmp_path / name, content)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=rf"{name} was not written by a build.*: give an empty --out"):
        build(corpus, tmp_path, SETTINGS, jobs=1)
    assert contents(tmp_path) == before


def test_files_of_other_names_are_nobodys_business(corpus: Path, tmp_path: Path) -> None:
    mine = {"train/0 notes.parquet": b"x", "train/5.tar": b"x", "README": b"x"}
    for name, content in mine.items():
        put(tmp_path / name, content)
    for _ in range(2):
        build(corpus, tmp_path, SETTINGS, jobs=1)
        assert mine.items() <= contents(tmp_path).items()


def test_a_table_of_others_is_refused_in_a_folder_of_shards_too(corpus: Path, shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    put(root / "train/000005.parquet", None)
    before = contents(root)
    with pytest.raises(ConfigError, match=r"train/000005\.parquet was not written by a build"):
        build(corpus, root, SETTINGS, jobs=1)
    assert contents(root) == before


def test_a_failing_build_touches_nothing(shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    (root / "train/000000.parquet").write_bytes(b"PAR1")
    (root / "manifest.json").write_bytes(b"{")
    before = contents(root)
    for out in (root, tmp_path / "new"):
        with pytest.raises(SourceError):
            build(tmp_path / "gone", out, SETTINGS, jobs=1)
    assert contents(root) == before
    assert not (tmp_path / "new").exists()


def test_an_interrupted_shard_is_ours_by_the_mark(corpus: Path, shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    (root / "train/000000.parquet").unlink()  # as after a kill between the tar and its receipt
    (root / MARK).unlink()
    with pytest.raises(ConfigError, match=r"train/000000\.(tar|idx) was not written by a build"):
        build(corpus, root, SETTINGS, jobs=1)
    shutil.copy(shards / MARK, root)
    build(corpus, root, SETTINGS, jobs=1)
    assert contents(root) == contents(shards)


def test_shards_copied_without_the_mark_are_ours_by_their_receipts(corpus: Path, shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "shards", ignore=shutil.ignore_patterns(".*"))
    assert build(corpus, root, SETTINGS, jobs=1).kept == len(list(root.glob("*/*.parquet")))
    assert contents(root) == contents(shards)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        (lambda here: here, lambda here: here),
        (lambda here: here, lambda here: here / "shards"),
        (lambda here: here, lambda here: here.parent),
        (lambda here: here, lambda here: here / "disc 0/../../" / here.name),
    ],
)
def test_shards_and_recordings_do_not_lie_in_one_another(
    corpus: Path, source: Callable[[Path], Path], out: Callable[[Path], Path]
) -> None:
    before = contents(corpus)
    with pytest.raises(ConfigError, match="lie in one another; give an --out beside the source"):
        build(source(corpus), out(corpus), SETTINGS, jobs=1)
    assert contents(corpus) == before


def test_a_second_build_in_the_same_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(ConfigError, match=f"another process is working in {tmp_path}"):
        build(corpus, tmp_path, SETTINGS, jobs=1)
    manifest = build(corpus, tmp_path, SETTINGS, jobs=1).manifest
    assert manifest
    assert manifest.written == 14
