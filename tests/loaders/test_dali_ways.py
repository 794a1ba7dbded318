"""The ways into DALI that the benchmark compares deliver the same bytes in the same order."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import Tensor

from benchmarks.contenders import dali_ways
from loaders import PairLoader
from tests.loaders.small_shards import CROP

pytestmark = pytest.mark.needs("module:nvidia.dali")


@pytest.fixture
def expected(shards: Path) -> list[Tensor]:
    """The batches of two epochs."""
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        return [batch.pcm for batch in chain(loader, loader)]


@pytest.mark.parametrize("batches", [1, 3, 50])
def test_an_index_of_pieces_of_members_gives_crops_to_the_sample(
    shards: Path, expected: list[Tensor], batches: int
) -> None:
    ways = dali_ways.virtual_index(str(shards), 8, CROP, batches)
    assert len(expected) == 10
    assert all(pcm.equal(batch) for pcm, batch in zip(islice(ways, 10), expected, strict=True))


def test_worker_processes_of_dali_would_read_the_same(shards: Path, expected: list[Tensor]) -> None:
    places = dali_ways.Places(str(shards), 8, CROP)
    source = dali_ways.ReadInWorker(places.paths, *places.take(10), CROP)
    for number, batch in enumerate(expected * 2):
        read = source(SimpleNamespace(iteration=number))
        assert isinstance(read, list)  # DALI asks whether a batch is true, which an array does not answer
        assert np.array_equal(np.stack(read), batch.numpy())
