"""Ranges or stream: the arithmetic, against a simulation and against what must be so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.ranges.access import DISK_BYTES_PER_SECOND, EPOCHS, Access, Extent, choose, pair_seconds
from loaders.ranges.link import Link

CROP = 118_098
GB = 10**9
FAST = Link(0.025, 5500, 3.125 * GB)  # 25 Gbit/s, and what S3 promises for one prefix


def extent(track_seconds: float, tracks: int) -> Extent:
    track_bytes = 44_100 * track_seconds  # 22,050 Hz, int16
    return Extent(tracks=tracks, track_bytes=track_bytes, crop_bytes=CROP, shard_bytes=int(tracks * track_bytes))


CLIPS, SONGS = extent(30, 25_000), extent(240, 100_000)

links = st.builds(Link, st.floats(1e-4, 1), st.floats(10, 1e5), st.floats(1e6, 1e10))
slow_links = st.builds(Link, st.floats(1e-4, 1), st.floats(10, 1e5), st.floats(1e6, DISK_BYTES_PER_SECOND / 2))
extents = st.builds(extent, st.floats(2.68, 1000), st.integers(1, 10**6))
epoch_counts = st.one_of(st.none(), st.floats(0.1, 1000))
rooms = st.integers(0, 10**14)


@pytest.mark.parametrize(
    ("what", "epochs", "room", "kind"),
    [
        (CLIPS, 100, 1000 * GB, "stream"),  # 33 GB once, then from the disk
        (CLIPS, None, 1000 * GB, "stream"),
        (CLIPS, 100, 20 * GB, "ranges"),  # all of it again in each epoch
        (SONGS, 1, 5000 * GB, "ranges"),  # 98 % of the bytes are in no crop
        (SONGS, 5, 5000 * GB, "ranges"),
        (SONGS, 100, 5000 * GB, "stream"),
        (SONGS, 100, 500 * GB, "ranges"),
        (CLIPS, 100, 1 * GB, "ranges"),  # not even the least room
    ],
)
def test_typical_corpora(what: Extent, epochs: float | None, room: int, kind: str) -> None:
    assert choose(what, FAST, epochs=epochs, room=room, least_room=4 * GB).kind == kind


@given(links, st.floats(1, 300))
def test_the_mean_cost_of_a_pair_is_that_of_many_drawn_pairs(link: Link, crops: float) -> None:
    track = crops * CROP
    start = np.random.default_rng(0).uniform(0, track - CROP, (2, 20_000))
    apart = np.abs(start[0] - start[1])
    one = 1 / link.requests_per_second + (CROP + apart) / link.bytes_per_second
    two = 2 / link.requests_per_second + 2 * CROP / link.bytes_per_second
    mean = float(np.minimum(one, two).mean())
    what = Extent(tracks=1, track_bytes=track, crop_bytes=CROP, shard_bytes=int(track))
    assert pair_seconds(what, link) == pytest.approx(mean, rel=0.02)


def decide(what: Extent, link: Link, epochs: float | None, room: int, least: int = 0) -> Access:
    access = choose(what, link, epochs=epochs, room=room, least_room=least)
    assert access.kind == ("stream" if access.stream_seconds < access.ranges_seconds else "ranges")
    assert "\n" not in access.reason
    return access


@given(extents, links, epoch_counts, rooms, st.integers(1, 10**13))
def test_without_the_least_room_it_is_ranges(
    what: Extent, link: Link, epochs: float | None, room: int, more: int
) -> None:
    access = decide(what, link, epochs, room, room + more)
    assert access.kind == "ranges"
    assert "streaming needs" in access.reason


@given(extents, links, epoch_counts, rooms, st.integers(1, 10**13))
def test_more_room_never_speaks_against_streaming(
    what: Extent, link: Link, epochs: float | None, room: int, more: int
) -> None:
    if decide(what, link, epochs, room).kind == "stream":
        assert decide(what, link, epochs, room + more).kind == "stream"


@given(extents, links, st.floats(1, 1000), st.floats(1, 100))
def test_with_room_more_epochs_never_speak_against_streaming(
    what: Extent, link: Link, epochs: float, factor: float
) -> None:
    room = what.shard_bytes
    if decide(what, link, epochs, room).kind == "stream":
        assert decide(what, link, epochs * factor, room).kind == "stream"


@given(extents, slow_links, st.floats(1, 10))
def test_without_room_for_all_longer_tracks_never_speak_against_ranges(what: Extent, link: Link, factor: float) -> None:
    longer = replace(what, track_bytes=what.track_bytes * factor, shard_bytes=int(what.shard_bytes * factor) + 1)
    if decide(what, link, 3, what.shard_bytes - 1).kind == "ranges":
        assert decide(longer, link, 3, what.shard_bytes - 1).kind == "ranges"


@given(extents, links, epoch_counts, rooms, st.floats(0.01, 1))
def test_who_reads_a_smaller_part_never_leaves_ranges(
    what: Extent, link: Link, epochs: float | None, room: int, share: float
) -> None:
    if decide(what, link, epochs, room).kind == "ranges":
        assert choose(what, link, epochs=epochs, room=room, least_room=0, share=share).kind == "ranges"


def test_the_reason_says_why_with_numbers() -> None:
    kept = choose(CLIPS, FAST, epochs=None, room=1000 * GB, least_room=4 * GB)
    assert kept.reason == (
        f"reading {EPOCHS} epochs (it is not known how many there will be) takes 84.5 s by ranges, 28.3 s by stream; "
        "33.1 GB of shards fit the cache; a track is as long as 11.2 crops, "
        "the link does 25.0 ms, 5,500 requests/s, 3,125 MB/s"
    )
    again = choose(SONGS, FAST, epochs=40, room=20 * GB, least_room=4 * GB)
    assert "takes 28.3 min by ranges, 3.8 h by stream; 1.06 TB of shards do not fit the cache of 20 GB" in again.reason
    none = choose(SONGS, FAST, epochs=40, room=1 * GB, least_room=4 * GB)
    assert none.reason.startswith("streaming needs 4 GB of cache, and there are 1 GB; ")
