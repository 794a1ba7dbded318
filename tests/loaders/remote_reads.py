"""Files of noise to be read by ranges, and what must have come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import numpy as np

from loaders.ranges.source import RangesSource
from loaders.reading.slabs import Slab
from loaders.reading.source import Reads
from sharding.storage import Place

FRAMES = 100
PIECE = 2 * FRAMES  # bytes
ROWS = 24
SIZE = 20_000


def noise(number: int = 4, size: int = SIZE, seed: int = 0) -> dict[str, bytes]:
    """Files by name."""
    rng = np.random.default_rng(seed)
    return {f"train/{file:06d}.tar": rng.bytes(size) for file in range(number)}


def write(place: Place, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        place.write(name, data)


def source_of(place: Place, files: Mapping[str, bytes], in_flight: int = 8, gap: int = 50) -> RangesSource:
    return RangesSource(place, tuple(files), [len(data) for data in files.values()], in_flight=in_flight, gap=gap)


def reads_at(places: Sequence[tuple[int, int]], rows: int = ROWS) -> Reads:
    """Pieces at (number of the file, first byte), to rows in an order that is not theirs."""
    shard, offset = np.array(places, dtype=np.int64).reshape(-1, 2).T
    row = np.random.default_rng(len(places)).permutation(rows)[: len(places)]
    slab = Slab((rows, 1, FRAMES), pinned=False)
    slab.crops[:] = 0
    return Reads(slab, row, shard, offset)


def random_reads(seed: int = 0, count: int = ROWS, files: int = 4) -> Reads:
    rng = np.random.default_rng([seed, 1])
    return reads_at(
        list(zip(rng.integers(0, files, count).tolist(), rng.integers(0, SIZE - PIECE, count), strict=True))
    )


def wait(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.result(timeout=120)


def check(reads: Reads, files: Mapping[str, bytes]) -> None:
    """Every row holds its piece, and no other row was touched."""
    contents = list(files.values())
    expected = np.zeros_like(reads.slab.crops)
    for row, shard, offset in zip(reads.row.tolist(), reads.shard.tolist(), reads.offset.tolist(), strict=True):
        expected[row] = np.frombuffer(contents[shard][offset : offset + PIECE], np.uint8)
    np.testing.assert_array_equal(reads.slab.crops, expected)
