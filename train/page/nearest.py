"""Nearest tracks by the cosine of their mean window features, and how often they share a label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clmr.errors import FeatureError
from train.features import open_features
from train.probing.named_tracks import read_named_tracks

SPLIT = "test"
QUERIES = 5
NEIGHBOURS = 5
MOST_COUNTED = 2000
"""Queries over which sharing is counted."""
BLOCK = 256
"""Queries whose similarities are in memory at once."""

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SplitTracks:
    """The tracks of the test split."""

    mean: Floats
    """Mean feature over the windows, of length 1, ``[tracks, width]``."""
    labels: npt.NDArray[np.bool_]
    """``[tracks, C]``"""
    key: npt.NDArray[np.str_]
    song: Indices
    """A number for each song."""
    vocabulary: tuple[str, ...]
    shards: str | None
    """Where they were embedded from; None of audio files."""
    sample_rate: int
    encoder: str

    def names(self, track: int) -> list[str]:
        """Its labels."""
        return [self.vocabulary[column] for column in np.flatnonzero(self.labels[track])]


@dataclass(frozen=True)
class Sharing:
    """What tracks of other songs have in common with a query; over queries that have a label."""

    queries: int
    near: float
    """Share of the nearest that have a label of the query's."""
    chance: float
    """The same of all."""
    near_labels: float
    """Labels in common with one of the nearest, on average."""
    chance_labels: float
    """The same of all."""


def read_test_tracks(folder: Path) -> SplitTracks:
    """Mean features of the test split.

    Raises:
        FeatureError: missing, damaged, without a test split, or not finite.
    """
    dump, named = open_features(folder), read_named_tracks(folder)
    chosen = np.flatnonzero((dump.split == SPLIT) & (dump.windows > 0))
    if len(chosen) < 2:
        raise FeatureError(f"the features hold {len(chosen)} tracks of split {SPLIT!r}; embed shards that have more")
    mean = np.empty((len(chosen), dump.matrix.shape[1]), np.float32)
    for place, track in enumerate(chosen):
        rows = dump.matrix[dump.first[track] : dump.first[track] + dump.windows[track]]
        mean[place] = rows.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise FeatureError("the features are not all finite; did the pretraining diverge?")
    # cos(a, b) = a.b / (|a| |b|); a track whose features are all 0 is near to none.
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    _, song = np.unique(named.song_id[chosen], return_inverse=True)
    origin = dump.origin
    return SplitTracks(
        mean=mean,
        labels=dump.labels[chosen],
        key=named.key[chosen],
        song=song.astype(np.int64),
        vocabulary=dump.vocabulary,
        shards=origin.get("shards"),
        sample_rate=int(origin["sample_rate"]),
        encoder=str(origin.get("encoder", "?")),
    )


def similarities(tracks: SplitTracks, queries: Indices) -> Floats:
    """Cosines ``[queries, tracks]``; of tracks of the query's own song minus infinity."""
    found: Floats = tracks.mean[queries] @ tracks.mean.T
    found[tracks.song[queries][:, None] == tracks.song] = -np.inf
    return found


def nearest(tracks: SplitTracks, query: int, count: int = NEIGHBOURS) -> list[tuple[int, float]]:
    """The nearest tracks of other songs with their cosines, nearest first; fewer where there are fewer."""
    cosine = similarities(tracks, np.array([query]))[0]
    order = np.argsort(-cosine, kind="stable")[:count]
    return [(int(track), float(cosine[track])) for track in order if np.isfinite(cosine[track])]


def choose_queries(tracks: SplitTracks, seed: int, count: int = QUERIES) -> Indices:
    """A seeded draw of tracks, no two of one song, of those that have a label if any has."""
    fit = np.flatnonzero(tracks.labels.any(axis=1)) if tracks.labels.any() else np.arange(len(tracks.key))
    by_key = fit[np.argsort(tracks.key[fit])]  # whatever order the dump has
    drawn = np.random.default_rng(seed).permutation(by_key)
    _, first = np.unique(tracks.song[drawn], return_index=True)
    return np.asarray(drawn[np.sort(first)][:count], dtype=np.int64)


def count_sharing(tracks: SplitTracks, seed: int) -> Sharing | None:
    """What a query has in common with the nearest, and with all tracks of other songs.

    None where no query has a label and a track of another song.
    """
    fit = np.flatnonzero(tracks.labels.any(axis=1))
    if len(fit) > MOST_COUNTED:
        fit = np.sort(np.random.default_rng(seed).choice(fit, MOST_COUNTED, replace=False))
    labels = tracks.labels.astype(np.float32)
    each_query = []
    for begin in range(0, len(fit), BLOCK):
        queries = fit[begin : begin + BLOCK]
        cosine, common = similarities(tracks, queries), labels[queries] @ labels.T
        for each, labels_shared in zip(cosine, common, strict=True):
            others = np.isfinite(each)
            if others.any():
                order = np.argsort(-each, kind="stable")[: min(NEIGHBOURS, int(others.sum()))]
                near, everyone = labels_shared[order], labels_shared[others]
                each_query.append([(near > 0).mean(), (everyone > 0).mean(), near.mean(), everyone.mean()])
    return Sharing(len(each_query), *np.mean(each_query, axis=0).tolist()) if each_query else None
