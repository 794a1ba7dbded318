"""Planning: every recording once, no shard too large, the same plan whatever the order of the catalog."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from sharding.datasets.catalog import Probe, Recording
from sharding.faults import Fault
from sharding.format import SPLITS
from sharding.plan import BuildSettings, PlannedShard, estimate_bytes, plan_shards, shard_limit


def make(number: int, split: str = "train") -> Recording:
    return Recording(f"key-{number}", f"song-{number}", split, ("a",), (f"{number}.mp3",))


TRACKS = st.lists(st.tuples(st.sampled_from(SPLITS), st.floats(0, 5000)), min_size=1, max_size=80)


@given(tracks=TRACKS, shard_size=st.integers(1, 10**9), seed=st.integers())
def test_plans(tracks: list[tuple[str, float]], shard_size: int, seed: int) -> None:
    settings = BuildSettings("folder", 8000, shard_size, seed)
    recordings = [make(number, split) for number, (split, _) in enumerate(tracks)]
    probes = {recording.key: Probe(length, 1) for recording, (_, length) in zip(recordings, tracks, strict=True)}
    shards = plan_shards(recordings, probes, settings)
    total = sum(estimate_bytes(length, 8000) for shard in shards for length in shard.lengths)
    limit = min(shard_size, max(2**24, total // 32))
    stated = [length for _, length in tracks if length]
    for shard in shards:  # a recording of unknown length is given the room of an average one
        for probe, length in zip(shard.probes, shard.lengths, strict=True):
            assert length == (probe.seconds or (pytest.approx(sum(stated) / len(stated)) if stated else 0))

    planned = [track for shard in shards for track in shard.tracks]
    assert sorted(track.key for track in planned) == sorted(probes)  # each exactly once
    assert [shard.split for shard in shards] == sorted((shard.split for shard in shards), key=SPLITS.index)
    for split in SPLITS:
        of_split = [shard for shard in shards if shard.split == split]
        assert [shard.number for shard in of_split] == list(range(len(of_split)))
        sizes = [sum(estimate_bytes(length, 8000) for length in shard.lengths) for shard in of_split]
        firsts = [estimate_bytes(shard.lengths[0], 8000) for shard in of_split]
        for size, shard in zip(sizes, of_split, strict=True):
            assert shard.tracks
            assert size <= limit or len(shard.tracks) == 1
            assert all(track.split == split for track in shard.tracks)
        for size, following in zip(sizes, firsts[1:], strict=False):  # no shard is closed early
            assert size + following > limit

    shuffled = random.Random(0).sample(recordings, len(recordings))  # noqa: S311 -- no secret
    assert plan_shards(shuffled, probes, settings) == shards


@given(shard_size=st.integers(1, 2**40), total=st.integers(0, 2**50))
def test_the_size_of_a_shard_follows_from_the_corpus(shard_size: int, total: int) -> None:
    limit = shard_limit(shard_size, total)
    assert 1 <= limit <= shard_size
    assert limit == shard_size or 32 * limit <= max(total, 2**29)


def test_small_corpora_give_every_core_a_shard_and_large_ones_get_whole_shards() -> None:
    assert shard_limit(2**29, 2**20) == 2**24
    assert shard_limit(2**29, 2**33) == 2**28
    assert shard_limit(2**29, 2**34) == shard_limit(2**29, 2**50) == 2**29
    hours = {f"key-{number}": Probe(30.0, 1) for number in range(1000)}  # 8.3 h
    shards = plan_shards([make(number) for number in range(1000)], hours, BuildSettings("folder"))
    assert 32 <= len(shards) <= 36


def test_shards_are_shuffled_by_the_seed() -> None:
    recordings = [make(number) for number in range(100)]
    probes = dict.fromkeys((recording.key for recording in recordings), Probe(30.0, 1))
    orders = [
        [
            track.key
            for shard in plan_shards(recordings, probes, BuildSettings("folder", seed=seed))
            for track in shard.tracks
        ]
        for seed in (0, 1)
    ]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != sorted(orders[0])


def test_the_fingerprint_is_of_all_that_a_shard_is_planned_from() -> None:
    shard = PlannedShard("train", 0, (make(0), make(1)), (Probe(1.0, 8), Probe(2.0, 8)), (1.0, 2.0))
    others = [
        replace(shard, split="test"),
        replace(shard, number=1),
        replace(shard, probes=(Probe(1.0, 8), Probe(2.5, 8))),
        replace(shard, probes=(Probe(1.0, 8), Probe(2.0, 9))),
        replace(shard, tracks=(make(1), make(0))),
        replace(shard, tracks=(make(0), replace(make(1), labels=("b",)))),
        replace(shard, tracks=(make(0), replace(make(1), song_id="song-0"))),
        replace(shard, tracks=(make(0), replace(make(1), parts=("2.mp3",)))),
        replace(shard, tracks=(make(0), replace(make(1), fault=Fault.UNLISTED))),
    ]
    assert len({each.fingerprint() for each in [shard, *others]}) == 1 + len(others)
    assert replace(shard, lengths=(30.0, 30.0)).fingerprint() == shard.fingerprint()  # where it lies is in its stem


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="sample rate is 44100 Hz; the encoder is made for 22050, 16000, 8000"):
        BuildSettings("folder", sample_rate=44100)
    with pytest.raises(ConfigError, match="shard size is 0 bytes"):
        BuildSettings("folder", shard_size=0)
