"""The resident backend: the bytes of the torch backend, out of memory; and whether there is enough of it."""

from __future__ import annotations

import doctest
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError, ShardError, StorageError
from loaders.indexed import IndexedPairs
from loaders.planned import PairCrops
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads
from loaders.resident import loading as resident_loading
from loaders.resident import memory as resident_memory
from loaders.resident.backend import ResidentPcm, ResidentPrefetch, gather
from loaders.resident.loading import Piece, lay_out, pieces
from loaders.resident.memory import fits, free_bytes, free_host_bytes, judge
from sharding.format import SAMPLE_BYTES, Tracks, open_shards
from tests.loaders.small_shards import CROP, Recording, WriteShards, indexed, recordings
from tests.loaders.taking import assert_refused_after_fork, content, open_loader, take
from tests.loaders.test_remote import upload
from tests.servers.s3 import needs_s3
from tests.servers.web import files_of, serving

CPU = torch.device("cpu")


def indexed_pairs(shards: Path | str, **settings: Any) -> IndexedPairs:
    """A supply whose plan and data sets are used here, whatever backend it has."""
    return indexed(open_loader(shards, access="auto" if isinstance(shards, Path) else "ranges", **settings))


def prefetch(pairs: IndexedPairs, resident: ResidentPcm, rows: int = 8) -> ResidentPrefetch[PairCrops]:
    """The plan of a supply, read out of memory."""
    return ResidentPrefetch(pairs._plan.blocks(0, 0), resident, SlabPool((rows, 2, CROP)), ReaderThreads(2), 3)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece is smaller than a track or holds a few."""
    monkeypatch.setattr(resident_loading, "PIECE", 6000)


@pytest.mark.parametrize("depth", [1, 4])
def test_batches_equal_those_of_the_torch_backend(shards: Path, depth: int) -> None:
    with open_loader(shards) as loader, open_loader(shards, backend="resident", depth=depth) as resident:
        assert content(take(resident, 13)) == content(take(loader, 13))
        assert resident.state_dict() == loader.state_dict()
        assert resident.description.startswith("resident backend")


def test_a_mixture_and_a_rank_of_several(shards: Path, make_shards: WriteShards) -> None:
    mixed = {str(shards): 0.5, str(make_shards(recordings(50, seed=2))): 0.5}
    settings = {"rank": 1, "world_size": 2, "pairs_per_read": 2}
    with open_loader(mixed, **settings) as loader, open_loader(mixed, backend="resident", **settings) as resident:
        assert content(take(resident, 13)) == content(take(loader, 13))


def test_a_state_of_the_torch_backend_goes_on_here(shards: Path) -> None:
    with open_loader(shards) as loader:
        take(loader, 3)
        state = loader.state_dict()
        expected = content(take(loader, 4))
    with open_loader(shards, backend="resident") as loader:
        loader.load_state_dict(state)
        assert content(take(loader, 4)) == expected


def test_the_gather_of_a_gpu_gives_the_same_crops() -> None:
    flat = torch.randint(-32768, 32767, (10_000,), dtype=torch.int16)
    positions = torch.randint(0, 10_000 - CROP + 1, (5, 2))
    crops = gather(flat, positions, CROP)
    assert (crops.shape, crops.dtype) == ((5, 2, CROP), torch.int16)
    for row in range(5):
        for view in range(2):
            begin = int(positions[row, view])
            torch.testing.assert_close(crops[row, view], flat[begin : begin + CROP], rtol=0, atol=0)
    last = torch.tensor([[10_000 - CROP]])
    torch.testing.assert_close(gather(flat, last, CROP)[0, 0], flat[-CROP:], rtol=0, atol=0)


@st.composite
def tracks(draw: st.DrawFn) -> Tracks:
    """Tracks in any order of the index, one behind the other in their shards."""
    shard = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=30)), dtype=np.int32)
    count = len(shard)
    frames = np.array(draw(st.lists(st.integers(1, 900), min_size=count, max_size=count)), dtype=np.int64)
    offset = np.zeros(count, dtype=np.int64)
    ends = [0, 0, 0, 0]
    for row in draw(st.permutations(range(count))):
        offset[row] = ends[shard[row]] + 2 * draw(st.integers(20, 700))
        ends[shard[row]] = offset[row] + SAMPLE_BYTES * frames[row]
    rows = np.arange(count)
    no_table: Any = None
    return Tracks(("a", "b", "c", "d"), shard, offset, frames, rows, rows, no_table)


@given(tracks=tracks(), most=st.integers(1, 1000).map(lambda half: 2 * half))
def test_pieces_hold_every_sample_once(tracks: Tracks, most: int) -> None:
    first = lay_out(tracks, 100)
    goes_to: dict[tuple[int, int], int] = {}  # (shard, byte) -> sample of the flat tensor
    for piece in pieces(tracks, first, most):
        assert 0 < piece.end - piece.begin <= most
        target = piece.target
        for skipped, frames in piece.parts:
            for frame in range(frames):
                place = (piece.shard, piece.begin + skipped + SAMPLE_BYTES * frame)
                assert place not in goes_to
                goes_to[place] = target
                target += 1
        assert target == piece.target + piece.frames
    assert sorted(goes_to.values()) == list(range(100, 100 + int(tracks.frames.sum())))
    for row in range(len(tracks)):
        for frame in range(int(tracks.frames[row])):
            place = (int(tracks.shard[row]), int(tracks.pcm_offset[row]) + SAMPLE_BYTES * frame)
            assert goes_to[place] == first[row] + frame


def test_neighbours_are_read_together(make_shards: WriteShards) -> None:
    found = open_shards(make_shards(recordings(30), tracks_per_shard=10)).tracks()
    assert len(list(pieces(found, lay_out(found, 0), 1 << 20))) == 3


def test_loading_is_counted_and_told(shards: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = indexed_pairs(shards)
    with caplog.at_level("INFO"):
        resident = ResidentPcm.load(pairs.corpora, CPU)
    frames = int(pairs.corpora[0].tracks.frames.sum())
    assert resident.flat.shape == (frames,)
    counts = pairs.counts()
    # What lies between the tracks of a piece comes along.
    assert frames * SAMPLE_BYTES <= counts.read <= sum(shard.stat().st_size for shard in shards.glob("train/*.tar"))
    assert counts.requests >= 6
    assert "100 % of the samples are in memory" in caplog.text
    list(islice(prefetch(pairs, resident), 5))
    assert pairs.counts().wanted == 5 * 8 * 2 * CROP * SAMPLE_BYTES


@needs_s3
def test_a_bucket_is_loaded(shards: Path, bucket: str) -> None:
    here, there = indexed_pairs(shards), indexed_pairs(upload(shards, f"{bucket}/shards"))
    expected = ResidentPcm.load(here.corpora, CPU).flat
    torch.testing.assert_close(ResidentPcm.load(there.corpora, CPU).flat, expected, rtol=0, atol=0)
    there.close()


def test_a_missing_shard_is_named(shards: Path) -> None:
    pairs = indexed_pairs(shards)
    (shards / "train/000003.tar").unlink()
    with pytest.raises(ShardError, match=r"train/000003\.tar is missing"):
        ResidentPcm.load(pairs.corpora, CPU)


def test_a_cut_shard_is_named(shards: Path) -> None:
    pairs = indexed_pairs(shards)
    os.truncate(shards / "train/000003.tar", 2000)
    with pytest.raises(ShardError, match=r"train/000003\.tar has 2000 bytes, not \d+"):
        ResidentPcm.load(pairs.corpora, CPU)


def test_a_shard_replaced_while_it_is_loaded_is_named(shards: Path) -> None:
    files = {path.relative_to(shards).as_posix(): path.read_bytes() for path in shards.rglob("*.*")}
    pieces_sent = 0

    class Changing(files_of(files)):  # type: ignore[misc]  # mypy knows no classes that functions make
        def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
            nonlocal pieces_sent
            pieces_sent += status == 206 and "000003" in self.path
            super().reply(status, body, **{**headers, "ETag": f'"{pieces_sent > 1}"'})

    with serving(Changing) as url:
        pairs = indexed_pairs(url)  # which measured the link
        pieces_sent = 0
        with pytest.raises(StorageError, match=r"train/000003\.tar: was replaced"):
            ResidentPcm.load(pairs.corpora, CPU)
        pairs.close()


def test_what_does_not_fit_is_refused_before_it_is_read(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = indexed_pairs(shards)
    needed = int(pairs.corpora[0].tracks.frames.sum()) * SAMPLE_BYTES
    monkeypatch.setattr(resident_memory, "free_bytes", lambda _: 3 * needed)
    ResidentPcm.load(pairs.corpora, CPU, copies=2)
    monkeypatch.setattr(resident_loading, "Loading", None)
    with pytest.raises(ConfigError, match=r"the resident backend cannot be used: .* 95 % of .* free on this machine"):
        ResidentPcm.load(pairs.corpora, CPU, copies=3)


def test_what_fits_without_being_asked() -> None:
    free = free_bytes(CPU)
    assert fits(free // 8, CPU)[0]  # a quarter, in bytes
    assert not fits(free // 8, CPU, copies=4)[0]
    assert not fits(free, CPU)[0]


@given(needed=st.integers(0, 10**15), free=st.integers(0, 10**15), share=st.floats(0.1, 1.0))
def test_judging(needed: int, free: int, share: float) -> None:
    room, reason = judge(needed, free, share, "cuda:0")
    assert room == (needed <= share * free)
    assert "cuda:0" in reason
    assert "\n" not in reason


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(resident_memory).failed == 0


@pytest.mark.parametrize(
    ("limits", "expected"), [([], 2048), (["max\n"], 2048), (["1000\n"], 1000), (["9223372036854771712\n"], 2048)]
)
def test_free_memory_of_a_machine_and_a_container(limits: list[str], expected: int) -> None:
    assert free_host_bytes("MemTotal: 4 kB\nMemAvailable:       2 kB\nHugePages_Total:       0\n", limits) == expected


def test_slabs_go_round_and_a_cancelled_one_is_left_behind(shards: Path) -> None:
    pairs = indexed_pairs(shards)
    feed = prefetch(pairs, ResidentPcm.load(pairs.corpora, CPU))
    for _ in islice(feed, 50):
        pass
    assert feed._slabs.allocated <= 5
    feed.cancel()
    next(feed)  # it goes on behind those that were forgotten


def test_a_plan_with_an_end_ends(shards: Path) -> None:
    pairs = indexed_pairs(shards)
    resident = ResidentPcm.load(pairs.corpora, CPU)

    def blocks() -> Iterator[list[PairCrops]]:
        yield from islice(pairs._plan.blocks(0, 0), 4)

    feed = ResidentPrefetch(blocks(), resident, SlabPool((8, 2, CROP)), ReaderThreads(2), 3)
    assert len(list(feed)) == 4


def test_a_forked_child_is_told_so(shards: Path) -> None:
    pairs = indexed_pairs(shards)
    feed = prefetch(pairs, ResidentPcm.load(pairs.corpora, CPU))
    next(feed)
    assert_refused_after_fork(lambda: next(feed))
    next(feed)


def test_a_track_longer_than_a_piece_comes_whole(make_shards: WriteShards) -> None:
    pcm = np.arange(20_000, dtype=np.int16)
    tracks = [Recording(f"t{number}", f"s{number}", pcm + number) for number in range(3)]
    pairs = indexed_pairs(make_shards(tracks), batch_size=1)
    flat = ResidentPcm.load(pairs.corpora, CPU).flat.numpy().reshape(3, -1)
    np.testing.assert_array_equal(np.sort(flat, axis=0), np.stack([pcm, pcm + 1, pcm + 2]))


def test_a_piece_knows_its_end() -> None:
    assert (Piece(0, 100, 0, [(0, 5), (30, 7)]).end, Piece(0, 100, 0, [(0, 5), (30, 7)]).frames) == (144, 12)
