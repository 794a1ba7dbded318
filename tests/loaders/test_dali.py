"""The dali backend: the bytes and the order of the torch backend, whatever the reads do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clmr.errors import ShardError, StorageError
from loaders.dali import DaliPrefetch
from loaders.order.epochs import EpochOrder, rank_slice
from loaders.order.mixture import MixedOrder
from loaders.planned import PairCrops, PairPlan
from loaders.prefetch import Prefetch, Prefetcher
from loaders.reading.corpus import Corpus, used_shards
from loaders.reading.crops import CropReader, Crops
from loaders.reading.files import ShardFiles
from loaders.reading.local import LocalSource
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads
from sharding.format import open_shards
from tests.loaders.small_shards import CROP, Recording, WriteShards, recordings
from tests.loaders.untidy_reads import Untidy, numbered

pytestmark = pytest.mark.needs("module:nvidia.dali")
DEVICES = [torch.device(name) for name in ("cpu", "cuda") if name == "cpu" or torch.cuda.is_available()]


@pytest.fixture(params=DEVICES, ids=str)
def device(request: pytest.FixtureRequest) -> torch.device:
    chosen: torch.device = request.param
    return chosen


def open_corpus(shards: Path, threads: ReaderThreads) -> Corpus:
    shard_set = open_shards(shards)
    tracks = shard_set.tracks(("train",))
    sizes, _ = used_shards(shard_set, tracks)
    return Corpus(shard_set, tracks, LocalSource(ShardFiles(shard_set.root, tracks.shard_names, sizes), threads))


@dataclass(frozen=True)
class Way:
    """What a batch depends on."""

    batch_size: int = 8
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    pairs_per_read: int = 1
    depth: int = 3
    weights: tuple[int, ...] = (1,)


def start(
    kind: type[Prefetcher[Any]] | type[DaliPrefetch[Any]],
    corpora: Sequence[Corpus],
    way: Way,
    device: torch.device,
    step: int = 0,
) -> tuple[Prefetch[PairCrops], int]:
    """Batches from a step of the first epoch on, and the steps of an epoch."""
    rows = rank_slice(way.batch_size, way.rank, way.world_size)
    shares = [way.batch_size * weight // sum(way.weights) for weight in way.weights]
    order = MixedOrder(
        [EpochOrder(corpus.tracks.song, share, way.seed) for corpus, share in zip(corpora, shares, strict=True)]
    )
    plan = PairPlan(
        corpora,
        order,
        crop_frames=CROP,
        seed=way.seed,
        rows=rows,
        depth=way.depth,
        pairs_per_read=way.pairs_per_read,
    )
    slabs = SlabPool((rows.stop - rows.start, 2, CROP), pinned=device.type == "cuda")
    return kind(plan.blocks(0, step), CropReader(corpora), slabs, device, way.depth), plan.steps


WAYS = [
    Way(),
    Way(seed=1),
    Way(batch_size=7, seed=2, depth=1),
    Way(batch_size=1),
    Way(batch_size=20, depth=7),
    Way(rank=1, world_size=2),
    Way(batch_size=9, rank=2, world_size=3, seed=3),
    Way(rank=3, world_size=4, depth=2),
    Way(rank=5, world_size=8),
    Way(pairs_per_read=3),
    Way(batch_size=6, pairs_per_read=2, rank=1, world_size=2, depth=1),
    Way(batch_size=9, weights=(2, 1)),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_two_epochs_are_those_of_torch(shards: Path, make_shards: WriteShards, way: Way, device: torch.device) -> None:
    threads = ReaderThreads(2)
    second = make_shards(recordings(11, seed=9)) if len(way.weights) > 1 else None
    corpora = [open_corpus(path, threads) for path in (shards, second) if path]
    theirs, steps = start(Prefetcher, corpora, way, torch.device("cpu"))
    ours, _ = start(DaliPrefetch, corpora, way, device)
    for number, ((expected, pcm), (crops, moved)) in enumerate(zip(theirs, islice(ours, 2 * steps), strict=False)):
        assert (crops.epoch, crops.step) == divmod(number, steps) == (expected.epoch, expected.step)
        assert np.array_equal(crops.keys, expected.keys)
        assert (moved.dtype, moved.device.type, moved.is_contiguous()) == (torch.int16, device.type, True)
        assert moved.cpu().numpy().tobytes() == pcm.numpy().tobytes()
    assert number == 2 * steps - 1
    ours.cancel()
    threads.close()


def test_the_samples_of_the_recordings_arrive_to_the_extremes(make_shards: WriteShards, device: torch.device) -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    tracks = [Recording(f"{number:02d}", str(number), np.roll(every, 777 * number)) for number in range(8)]
    threads = ReaderThreads(2)
    corpus = open_corpus(make_shards(tracks), threads)
    starts = np.array([0, len(every) - CROP])  # begins with -32768 in the first track, ends with 32767

    def blocks() -> Iterator[list[Crops]]:
        for begin in range(0, 8, 3):  # the last batch is shorter
            track = np.arange(begin, min(begin + 3, 8))
            yield [Crops(np.zeros_like(track), track, np.tile(starts, (len(track), 1)))]

    prefetch = DaliPrefetch(
        blocks(), CropReader([corpus]), SlabPool((3, 2, CROP), pinned=device.type == "cuda"), device, 2
    )
    seen = [(crops, pcm.cpu().numpy()) for crops, pcm in prefetch]
    assert [len(pcm) for _, pcm in seen] == [3, 3, 2]
    assert {int(seen[0][1].min()), int(seen[0][1].max())} == {-32768, 32767}
    for crops, pcm in seen:
        for track, pair in zip(crops.track, pcm, strict=True):
            whole = tracks[int(corpus.tracks.row[track])].pcm
            assert [crop.tobytes() for crop in pair] == [whole[at : at + CROP].tobytes() for at in starts]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(prefetch)
    threads.close()


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_batches_keep_their_order_whichever_is_read_first(depth: int, device: torch.device) -> None:
    pause = np.random.default_rng(depth)
    slabs = SlabPool((4, 2, 50), pinned=device.type == "cuda")
    prefetch = DaliPrefetch(numbered(30), Untidy(lambda: pause.uniform(0, 0.005)), slabs, device, depth)
    seen = [(int(crops.track[0]), pcm.unique().tolist()) for crops, pcm in prefetch]
    assert seen == [(number, [number]) for number in range(30)]
    # Those being read, the one DALI has, and on a GPU those whose last copy is not known to be over.
    assert slabs.allocated <= depth + (2 if device.type == "cpu" else 8)


def test_a_batch_does_not_wait_for_those_after_it(device: torch.device) -> None:
    slabs = SlabPool((4, 2, 50), pinned=device.type == "cuda")
    prefetch = DaliPrefetch(numbered(9), Untidy(lambda: 0.0, never=3), slabs, device, 4)
    assert [pcm.unique().tolist() for _, pcm in islice(prefetch, 3)] == [[0], [1], [2]]
    prefetch.cancel()


def test_a_batch_stays_what_it_is_however_long_it_is_held(device: torch.device) -> None:
    def contents() -> list[tuple[int, int]]:
        return [(int(pcm.min()), int(pcm.max())) for pcm in held]

    slabs = SlabPool((16, 2, 59049), pinned=device.type == "cuda")  # 3.8 MB, so that DALI takes a while
    prefetch = DaliPrefetch(numbered(12, rows=16), Untidy(lambda: 0.0), slabs, device, 2)
    held = [pcm for _, pcm in prefetch]
    assert contents() == [(number, number) for number in range(12)]
    if device.type == "cpu":
        assert slabs.allocated <= 4
    prefetch.cancel()
    del prefetch, slabs
    assert contents() == [(number, number) for number in range(12)]
    held[0].add_(1)  # and is the caller's to change
    assert contents()[:2] == [(1, 1), (1, 1)]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat_when_batches_are_dropped() -> None:
    slabs = SlabPool((32, 2, 59049))
    prefetch = DaliPrefetch(numbered(1000, rows=32), Untidy(lambda: 0.0), slabs, torch.device("cpu"), 2)
    for number, (_, pcm) in enumerate(islice(prefetch, 90)):
        assert int(pcm[-1, -1, -1]) == number
        del pcm
        if number == 30:
            before = resident_bytes()
    assert resident_bytes() - before < 3 * 32 * 2 * 59049 * 2
    assert slabs.allocated <= 4
    prefetch.cancel()


@pytest.mark.parametrize(
    "error", [ShardError("train/000001.tar is cut"), StorageError("s3://b/train.tar: 403")], ids=str
)
def test_an_error_of_a_read_comes_in_its_turn_and_as_it_is(error: Exception, device: torch.device) -> None:
    slabs = SlabPool((4, 2, 50), pinned=device.type == "cuda")
    prefetch = DaliPrefetch(numbered(9), Untidy(lambda: 0.0, {5: error}), slabs, device, 3)
    assert [int(crops.track[0]) for crops, _ in islice(prefetch, 5)] == [0, 1, 2, 3, 4]
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            next(prefetch)
        assert caught.value is error
    prefetch.cancel()
    again = DaliPrefetch(numbered(9, first=5), Untidy(lambda: 0.0), slabs, device, 3)
    assert [pcm.unique().tolist() for _, pcm in again] == [[5], [6], [7], [8]]


def test_a_cut_shard_is_refused_before_dali_has_anything_of_it(shards: Path, device: torch.device) -> None:
    """DALI's own reader ends the process when a component lies beyond the end of a file that it maps."""
    threads = ReaderThreads(2)
    corpora = [open_corpus(shards, threads)]
    victim = shards / "train" / "000002.tar"
    whole = victim.read_bytes()
    os.truncate(victim, 1000)
    prefetch, steps = start(DaliPrefetch, corpora, Way(), device)
    with pytest.raises(ShardError, match=rf"000002\.tar has 1000 bytes, not {len(whole)}"):
        list(islice(prefetch, steps))
    prefetch.cancel()
    victim.write_bytes(whole)
    prefetch, steps = start(DaliPrefetch, corpora, Way(), device, step=1)
    assert [crops.step for crops, _ in islice(prefetch, steps - 1)] == list(range(1, steps))
    threads.close()


def test_cancel_forgets_what_is_under_way_and_no_more(device: torch.device) -> None:
    slabs = SlabPool((4, 2, 50), pinned=device.type == "cuda")
    prefetch = DaliPrefetch(numbered(20), Untidy(lambda: 0.0), slabs, device, 2)
    first = next(prefetch)[1]
    prefetch.cancel()
    prefetch.cancel()
    rest = [(int(crops.track[0]), pcm.unique().tolist()) for crops, pcm in prefetch]
    assert rest == [(number, [number]) for number in range(20 - len(rest), 20)]
    assert len(rest) >= 16
    assert first.unique().tolist() == [0]
