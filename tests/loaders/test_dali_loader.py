"""PairLoader with the dali backend: resume, errors and the other ranks are those of torch."""

from __future__ import annotations

import os
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest

from clmr.errors import ShardError
from loaders import PairLoader
from loaders.batch import Batch
from tests.loaders.small_shards import CROP, files_of

pytestmark = pytest.mark.needs("module:nvidia.dali")


def open_loader(shards: Path, backend: str, **settings: Any) -> PairLoader:
    return PairLoader(shards, batch_size=8, crop_frames=CROP, threads=2, backend=backend, **settings)


def content(batch: Batch) -> tuple[int, int, bytes, bytes, list[int]]:
    return batch.epoch, batch.step, batch.pcm.numpy().tobytes(), batch.keys.numpy().tobytes(), batch.track.tolist()


def test_a_run_goes_on_with_either_backend_at_any_batch(shards: Path) -> None:
    with open_loader(shards, "torch") as loader:
        expected = [content(batch) for batch in chain(loader, loader, loader)]
    state: dict[str, Any] | None = None
    seen = []
    for turn in range(5):
        with open_loader(shards, ("dali", "torch")[turn % 2]) as loader:
            if state is not None:
                loader.load_state_dict(state)
            seen += [content(batch) for batch in islice(chain(loader, loader), 3)]
            state = loader.state_dict()
    assert seen == expected


def test_ranks_join_to_the_global_batches(shards: Path) -> None:
    with open_loader(shards, "torch") as loader:
        expected = [content(batch)[2] for batch in loader]
    ranks = [open_loader(shards, "dali", rank=rank, world_size=4) for rank in range(4)]
    joined = [b"".join(content(batch)[2] for batch in batches) for batches in zip(*ranks, strict=True)]
    assert joined == expected
    for loader in ranks:
        loader.close()


def test_after_an_error_the_same_batch_comes_again(shards: Path) -> None:
    with open_loader(shards, "torch") as loader:
        expected = [content(batch) for batch in loader]
    with open_loader(shards, "dali", depth=1) as loader:
        seen = [content(batch) for batch in islice(loader, 2)]
        victim = shards / "train" / "000002.tar"
        whole = victim.read_bytes()
        os.truncate(victim, 1000)
        for _ in range(2):
            with pytest.raises(ShardError, match=r"000002\.tar"):
                seen.extend(content(batch) for batch in loader)
        with victim.open("r+b") as file:  # the same file, mended
            file.write(whole)
        files_of(loader)._versions.clear()
        seen.extend(content(batch) for batch in loader)
    assert seen == expected
