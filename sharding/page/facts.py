"""The numbers on the page, counted from the index and the manifest without a Python object per track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sharding.format import SKIPPED, WRITTEN, Index, Manifest, ShardSet
from sharding.page.histogram import Histogram, histogram
from sharding.page.units import FULL_SCALE

DURATION_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000)  # seconds
PEAK_STEPS = (0.5, 1, 2, 5, 10, 20, 50)  # dB
EXAMPLES = 3  # of the sources that were skipped for one reason


@dataclass(frozen=True)
class SplitFacts:
    """One split, or all of them together."""

    name: str
    tracks: int
    songs: int
    """Different songs."""
    seconds: float
    shards: int
    bytes: int
    """Of the tars."""


@dataclass(frozen=True)
class LabelFacts:
    """One label and the written tracks that wear it."""

    name: str
    tracks: Mapping[str, int]
    """By split."""

    @property
    def total(self) -> int:
        """Tracks in all splits."""
        return sum(self.tracks.values())


@dataclass(frozen=True)
class SkippedFacts:
    """Tracks that were left out for one reason."""

    reason: str
    tracks: int
    examples: tuple[str, ...]
    """Sources of the first few, in the order of the index."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What the page says in numbers."""

    manifest: Manifest
    splits: tuple[SplitFacts, ...]
    everything: SplitFacts
    shared_songs: int
    """Songs with tracks in more than one split."""
    labels: tuple[LabelFacts, ...]
    """The vocabulary, most frequent first."""
    labels_given: int
    """Labels of all written tracks together: divided by the tracks it is the label cardinality."""
    unlabelled: int
    """Written tracks without any label."""
    durations: Histogram | None
    """Of the written tracks, in seconds; None where there are none."""
    peaks: Histogram | None
    """Of the written tracks, in dBFS; None where there are none."""
    clipped_tracks: int
    clipped_samples: int
    skipped: tuple[SkippedFacts, ...]
    """Most frequent reason first."""


def count_facts(shard_set: ShardSet) -> Facts:
    """Count everything once."""
    manifest, index = shard_set.manifest, shard_set.index
    columns = index.select(["split", "song_id", "labels", "frames", "peak", "clipped"])
    written = columns.filter(pc.equal(index["status"], WRITTEN))
    splits, everything = _splits(manifest, written)
    in_splits = written.group_by("song_id").aggregate([("split", "count_distinct")])
    given = pc.fill_null(pc.list_value_length(written["labels"]), 0).to_numpy().astype(np.int64)
    frames = written["frames"].to_numpy().astype(np.float64)
    peaks = written["peak"].to_numpy().astype(np.float64)
    clipped = written["clipped"].to_numpy()
    return Facts(
        manifest=manifest,
        splits=splits,
        everything=everything,
        shared_songs=pc.sum(pc.greater(in_splits["split_count_distinct"], 1)).as_py() or 0,
        labels=_labels(manifest, written, given),
        labels_given=int(given.sum()),
        unlabelled=int((given == 0).sum()),
        durations=histogram(frames / manifest.sample_rate, DURATION_STEPS, lowest=0) if len(frames) else None,
        # level = 20 log10(peak / 32768)
        peaks=histogram(20 * np.log10(peaks / FULL_SCALE), PEAK_STEPS, highest=0) if len(peaks) else None,
        clipped_tracks=int((clipped > 0).sum()),
        clipped_samples=int(clipped.sum()),
        skipped=_skipped(index),
    )


def _splits(manifest: Manifest, written: pa.Table) -> tuple[tuple[SplitFacts, ...], SplitFacts]:
    grouped = written.group_by("split").aggregate([("song_id", "count_distinct")]).to_pydict()
    songs = dict(zip(grouped["split"], grouped["song_id_count_distinct"], strict=True))
    splits = tuple(
        SplitFacts(
            name=split,
            tracks=sum(info.tracks for info in infos),
            songs=songs.get(split, 0),
            seconds=sum(info.frames for info in infos) / manifest.sample_rate,
            shards=len(infos),
            bytes=sum(info.bytes for info in infos),
        )
        for split, infos in manifest.splits.items()
    )
    everything = SplitFacts(
        name="all",
        tracks=sum(split.tracks for split in splits),
        songs=pc.count_distinct(written["song_id"]).as_py(),
        seconds=sum(split.seconds for split in splits),
        shards=sum(split.shards for split in splits),
        bytes=sum(split.bytes for split in splits),
    )
    return splits, everything


def _labels(manifest: Manifest, written: pa.Table, given: npt.NDArray[np.int64]) -> tuple[LabelFacts, ...]:
    """Every label of the vocabulary, and any other that a track wears, with its tracks by split."""
    split = written["split"].combine_chunks().dictionary_encode()
    split_names = split.dictionary.to_pylist()
    worn = pc.list_flatten(written["labels"]).combine_chunks().dictionary_encode()
    names = worn.dictionary.to_pylist()
    # One number per pair of label and split, counted in one go.
    pairs = worn.indices.to_numpy().astype(np.int64) * len(split_names) + np.repeat(split.indices.to_numpy(), given)
    table = np.bincount(pairs, minlength=len(names) * len(split_names)).reshape(len(names), len(split_names)).tolist()
    counted = {name: dict(zip(split_names, counts, strict=True)) for name, counts in zip(names, table, strict=True)}
    vocabulary = dict.fromkeys([*manifest.labels, *names])
    labels = (
        LabelFacts(name, {split: counted.get(name, {}).get(split, 0) for split in manifest.splits})
        for name in vocabulary
    )
    return tuple(sorted(labels, key=lambda label: (-label.total, label.name)))


def _skipped(index: Index) -> tuple[SkippedFacts, ...]:
    skipped = index.select(["reason", "source"]).filter(pc.equal(index["status"], SKIPPED))
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(skipped["reason"]).to_pylist()}
    return tuple(
        SkippedFacts(
            reason=reason,
            tracks=tracks,
            examples=tuple(
                skipped["source"].filter(pc.equal(skipped["reason"], reason)).slice(0, EXAMPLES).to_pylist()
            ),
        )
        for reason, tracks in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
