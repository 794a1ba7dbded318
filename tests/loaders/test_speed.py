"""The speed meter, and the command that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from loaders import PairLoader
from loaders.__main__ import cli
from loaders.speed import CopyCeiling, endless, pairs_per_second
from tests.loaders.small_shards import CROP, indexed


def test_pairs_per_second_counts_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("loaders.speed.time.perf_counter", lambda: float(next(clock)))

    def batches() -> Iterator[int]:
        while True:
            yield 8

    # The clock ticks at the start, after each of four batches, and at the end: 4 * 8 pairs in 5 s.
    assert pairs_per_second(batches(), seconds=4.0) == pytest.approx(32 / 5)


def test_the_ceiling_copies_crops_of_the_shards(shards: Path) -> None:
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        tracks = indexed(loader).corpora[0].tracks
    ceiling = CopyCeiling(shards, tracks, crop_frames=CROP, pairs=8, threads=2)
    assert list(islice(ceiling.batches(), 5)) == [8] * 5
    copied = ceiling._slabs[0].tobytes()[: 2 * CROP]
    assert any(copied in path.read_bytes() for path in (shards / "train").glob("*.tar"))
    ceiling.close()


def test_the_ceiling_holds_no_more_than_it_may(shards: Path) -> None:
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        tracks = indexed(loader).corpora[0].tracks
    ceiling = CopyCeiling(shards, tracks, crop_frames=CROP, pairs=8, threads=1, memory=1)
    assert len(ceiling._shards) == 1
    assert list(islice(ceiling.batches(), 3)) == [8] * 3
    ceiling.close()


def test_endless_goes_on_after_an_epoch(shards: Path) -> None:
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        assert list(islice(endless(loader), 12)) == [8] * 12
        assert loader.state_dict()["epoch"] == 2


def test_bench_prints_a_table(shards: Path) -> None:
    options = ["--batch-size", "8", "--crop-frames", str(CROP), "--seconds", "0.2", "--threads", "1"]
    result = CliRunner().invoke(cli, ["bench", str(shards), *options])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].endswith(f"40 tracks, {CROP} samples per crop, 1 threads")
    assert lines[1].split() == ["pairs/s", "lowest", "highest", "MB/s", "of", "copy", "waiting"]
    assert [line.split()[0] for line in lines[2:]] == ["PairLoader", "memory"]
    assert int(lines[2].split()[1].replace(",", "")) > 0


def test_bench_without_shards_ends_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["bench", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "manifest.json is missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1
