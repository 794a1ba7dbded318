"""The three splits of a feature dump as the probe takes them: which tracks, which windows, on which scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clmr.errors import ConfigError, FeatureError
from train.features import Features, open_features
from train.labelled.data import choose_task
from train.probing.head import Standardiser
from train.probing.named_tracks import NamedTracks, read_named_tracks
from train.probing.settings import ProbeSettings
from train.probing.subsets import nested_subset


@dataclass(frozen=True, eq=False)
class Split:
    """One split, ready for the head."""

    features: Tensor
    """Of the windows, ``[W, D]``; with ``--aggregation feature`` of the tracks."""
    labels: npt.NDArray[np.bool_]
    """``[tracks, C]``"""
    owner: npt.NDArray[np.int64]
    """The track of each window, ``[W]``."""
    keys: npt.NDArray[np.str_]
    """``[tracks]``"""
    protocol: dict[str, Any]
    """How many tracks and windows, and what was left out."""

    @property
    def window_labels(self) -> Tensor:
        """Each window bears its track's labels, float32 ``[W, C]``."""
        return torch.from_numpy(self.labels[self.owner]).float()

    def one_window(self, seed: int) -> Split:
        """A window of each track, drawn evenly."""
        counts = np.bincount(self.owner)
        drawn = np.random.default_rng(seed).integers(counts)
        first = np.cumsum(counts) - counts
        return Split(self.features[first + drawn], self.labels, np.arange(len(counts)), self.keys, self.protocol)


@dataclass(frozen=True, eq=False)
class ProbeData:
    """What there is to probe."""

    train: Split
    valid: Split
    test: Split
    task: str
    """``tags`` or ``classes``."""
    vocabulary: tuple[str, ...]
    origin: dict[str, Any]
    """features.json."""


def load_data(folder: Path, settings: ProbeSettings) -> ProbeData:
    """Open a dump and take its splits; the scale, the subset and the task come from train and valid alone.

    Raises:
        FeatureError: the dump cannot be used, has no labels, lacks a split or is not finite.
        ConfigError: the labels are not the task's.
    """
    dump = open_features(folder)
    if not dump.vocabulary:
        raise FeatureError("the features carry no labels to probe; shard the recordings with a labels.csv")
    tracks = read_named_tracks(folder)
    train, valid, test = (_take(dump, tracks, split, settings) for split in ("train", "valid", "test"))
    task = choose_task(settings.task, [train.labels, valid.labels])
    if task == "classes" and (several := int((test.labels.sum(axis=1) != 1).sum())):
        raise ConfigError(f"{several} tracks of the test split do not have exactly one label; use --task tags")
    if settings.standardise:
        standardise = Standardiser.of(train.features)
        for split in (train, valid, test):
            # In place: two million windows of the Million Song Dataset should not be there twice.
            split.features.sub_(standardise.mean).div_(standardise.scale)
    return ProbeData(train, valid, test, task, dump.vocabulary, dump.origin)


def _take(dump: Features, tracks: NamedTracks, split: str, settings: ProbeSettings) -> Split:
    chosen = np.flatnonzero(dump.split == split)
    if not len(chosen):
        raise FeatureError(f"the features hold no track of split {split!r}; embed shards that have one")
    untagged = ~dump.labels[chosen].any(axis=1)
    protocol: dict[str, Any] = {"untagged": int(untagged.sum())}
    if settings.untagged == "drop":
        chosen = chosen[~untagged]
        if not len(chosen):
            raise FeatureError(f"no track of split {split!r} has a label; --untagged drop leaves nothing of it")
    if split == "train":
        songs = tracks.song_id[chosen]
        kept = nested_subset(songs.tolist(), settings.label_fraction, settings.subset_seed)
        protocol |= {"songs": len(set(songs[kept])), "songs_in_all": len(set(songs))}
        chosen = chosen[kept]
    counts = dump.windows[chosen]
    if split != "train" and settings.last_window == "official":
        dropped = _whole_windows_only(dump, tracks, chosen)
        protocol["last_windows_dropped"] = int(dropped.sum())
        counts = counts - dropped
    owner = np.repeat(np.arange(len(chosen)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    matrix = np.array(dump.matrix[dump.first[chosen][owner] + within])  # never the memory map itself
    if not np.isfinite(matrix).all():
        raise FeatureError(f"the features of split {split!r} are not all finite; did the pretraining diverge?")
    protocol |= {"tracks": len(chosen), "windows": len(matrix)}
    features = torch.from_numpy(matrix)
    if settings.aggregation == "feature":
        total = torch.zeros(len(chosen), matrix.shape[1]).index_add_(0, torch.from_numpy(owner), features)
        features, owner = total / torch.from_numpy(counts)[:, None], np.arange(len(chosen))
    return Split(features, dump.labels[chosen], owner, tracks.key[chosen], protocol)


def _whole_windows_only(dump: Features, tracks: NamedTracks, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which tracks are a whole number of windows long, so that the authors' code drops the last of them."""
    if tracks.frames is None:
        raise FeatureError(
            "the dump does not say how long the tracks are, which --preset official needs: run train/embed.py again, "
            "or give --last-window keep"
        )
    window = dump.origin["window_frames"]
    if dump.origin.get("hop_frames", window) != window:
        raise FeatureError(
            "the windows overlap or leave gaps, which the official code's do not: run train/embed.py again without "
            "--hop, or give --last-window keep"
        )
    whole: npt.NDArray[np.bool_] = tracks.frames[chosen] == dump.windows[chosen] * window
    short = chosen[whole & (dump.windows[chosen] == 1)]
    if len(short):
        raise FeatureError(
            f"track {tracks.key[short[0]]} is one window long, and the official code drops it; give --last-window keep"
        )
    return whole
