"""The speed meter and the ceiling of plain memory copies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from loaders import PairLoader
from loaders.saturation.ceiling import CopyCeiling, pairs_per_second
from tests.loaders.small_shards import CROP, indexed


def test_pairs_per_second_counts_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("loaders.saturation.ceiling.time.perf_counter", lambda: float(next(clock)))

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
