"""The numbers are those that a loop over the rows finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sharding.faults import Fault
from sharding.format import SPLITS, open_shards
from sharding.page.facts import EXAMPLES, count_facts
from sharding.page.reasons import meanings
from tests.sharding.page.material import RATE, Song, skipped, write_shards

LABELS = ("drums", "bass", "flute", "never")
REASONS = ("truncated", "too_short", "truncated", "silent", "truncated", "too_short", "truncated")


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    """60 short tracks of 20 songs with labels drawn at random, and 7 that were left out."""
    random = np.random.default_rng(0)
    return [
        Song(
            f"track-{number:02d}",
            f"{number}.mp3",
            random.integers(-9000, 9000, random.integers(100, 3 * RATE)).astype(np.int16),
            split=SPLITS[number % 7 % 3],
            song_id=f"song-{number % 20}",
            labels=tuple(random.permutation(LABELS[:3])[: random.integers(4)].tolist()),
            clipped=int(random.integers(3)),
        )
        for number in range(60)
    ] + [skipped(number, reason) for number, reason in enumerate(REASONS)]


def test_the_numbers_are_those_of_a_loop(songs: list[Song], tmp_path: Path) -> None:
    facts = count_facts(open_shards(write_shards(tmp_path / "shards", songs, labels=LABELS)))
    written = [song for song in songs if not song.reason]
    for split in facts.splits:
        of_split = [song for song in written if song.split == split.name]
        assert split.tracks == len(of_split)
        assert split.songs == len({song.song_id for song in of_split})
        assert split.seconds == pytest.approx(sum(len(song.pcm) for song in of_split) / RATE)
        assert split.bytes == (tmp_path / "shards" / split.name / "000000.tar").stat().st_size
        assert split.shards == 1
        assert {label.name: label.tracks[split.name] for label in facts.labels} == {
            label: sum(label in song.labels for song in of_split) for label in LABELS
        }
    assert (facts.everything.tracks, facts.everything.songs) == (60, 20)
    homes = {song.song_id: {other.split for other in written if other.song_id == song.song_id} for song in written}
    assert facts.shared_songs == sum(len(splits) > 1 for splits in homes.values()) > 0
    totals = [label.total for label in facts.labels]
    assert totals == sorted(totals, reverse=True)
    assert facts.labels[-1].name == "never"
    assert facts.labels_given == sum(len(song.labels) for song in written)
    assert facts.unlabelled == sum(not song.labels for song in written)
    assert facts.clipped_tracks == sum(song.clipped > 0 for song in written)
    assert facts.clipped_samples == sum(song.clipped for song in written)


def test_histograms_say_the_extremes(songs: list[Song], tmp_path: Path) -> None:
    facts = count_facts(open_shards(write_shards(tmp_path / "shards", songs, labels=LABELS)))
    assert facts.durations is not None
    assert facts.peaks is not None
    seconds = sorted(len(song.pcm) / RATE for song in songs if not song.reason)
    assert facts.durations.most == pytest.approx(seconds[-1])
    assert facts.durations.median == pytest.approx((seconds[29] + seconds[30]) / 2)
    assert facts.durations.counts.sum() == facts.peaks.counts.sum() == 60
    loudest = max(np.abs(song.pcm).max() for song in songs if not song.reason)
    assert facts.peaks.most == pytest.approx(20 * np.log10(loudest / 32768))


def test_skipped_are_counted_by_reason_with_examples(songs: list[Song], tmp_path: Path) -> None:
    facts = count_facts(open_shards(write_shards(tmp_path / "shards", songs)))
    assert [(entry.reason, entry.tracks) for entry in facts.skipped] == Counter(REASONS).most_common()
    for entry in facts.skipped:
        sources = [song.source for song in songs if song.reason == entry.reason]
        assert entry.examples == tuple(sources[:EXAMPLES])


def test_nothing_written_is_no_error(tmp_path: Path) -> None:
    facts = count_facts(open_shards(write_shards(tmp_path / "shards", [skipped(0, "silent")], labels=LABELS)))
    assert facts.durations is None
    assert facts.peaks is None
    assert facts.everything.tracks == 0
    assert [label.total for label in facts.labels] == [0, 0, 0, 0]


def test_every_reason_has_a_meaning() -> None:
    known = meanings()
    assert set(known) == {fault.value for fault in Fault}
    assert all(meaning.endswith(".") and "`" not in meaning for meaning in known.values())
    assert known["silent"].startswith("Every sample is zero")
