"""The labelled windows of a supervised run: three splits, the training windows in another order every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError
from loaders import WindowBatch, WindowLoader
from loaders.order.permutation import Integers, hash_bits, permute
from loaders.windows import _WindowCrops
from sharding.format import read_manifest
from train.labelled.settings import SupervisedSettings
from train.probing.subsets import nested_subset
from train.ranks.launch import Place


class ShuffledWindows(WindowLoader):
    """The training windows, each once an epoch, in an order that does not depend on the ranks.

    The n windows of an epoch are cut into as few batches as ``batch_size`` allows, whose sizes differ by at most one;
    a rank gets its share of every batch, the same or one more window than another.

    Args:
        settings: shards, seed, batch size and share of the songs.
        place: this rank.

    Raises:
        ConfigError: fewer windows in a batch than ranks.
        ShardError: as :class:`WindowLoader`.
    """

    def __init__(self, settings: SupervisedSettings, place: Place) -> None:
        super().__init__(
            settings.shards,
            batch_size=-(-settings.batch_size // place.world_size),
            sample_rate=settings.sample_rate,
            splits=("train",),
            rank=place.rank,
            world_size=place.world_size,
            device=place.device,
        )
        self._seed, self._place = settings.seed, place
        songs = self.tracks.table["song_id"].to_pylist()
        self.used = nested_subset(songs, settings.label_fraction, settings.songs_seed)
        self._windows: Integers = np.flatnonzero(np.repeat(self.used, self.windows_per_track))
        self.steps = -(-len(self._windows) // settings.batch_size)
        if len(self._windows) // self.steps < place.world_size:
            raise ConfigError(
                f"{place.world_size} processes share batches of {len(self._windows) // self.steps} windows: "
                "start fewer processes or give a larger --batch-size"
            )
        self._epoch = self._from = 0

    @property
    def windows_used(self) -> int:
        """Windows of an epoch, over all ranks."""
        return len(self._windows)

    def __len__(self) -> int:
        """Batches of an epoch, the same on every rank."""
        return self.steps

    def rows(self, step: int) -> int:
        """Windows of one of an epoch's batches, over all ranks."""
        return len(self._places(step))

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[WindowBatch]:
        """This rank's share of the batches of one epoch, from ``first_step`` on; one iteration at a time."""
        self._epoch, self._from = epoch, first_step
        return iter(self)

    def _places(self, step: int) -> range:
        n = len(self._windows)
        return range(n * step // self.steps, n * (step + 1) // self.steps)

    def _plan(self) -> Iterator[_WindowCrops]:
        key = hash_bits(self._seed, self._epoch, [0], "supervised.window")
        rank, ranks = self._place.rank, self._place.world_size
        for step in range(self._from, self.steps):
            places = self._places(step)
            mine = places[len(places) * rank // ranks : len(places) * (rank + 1) // ranks]
            position = self._windows[permute(np.array(mine), len(self._windows), key)]
            # Every track has a window, so first positions rise: the track is the last one that begins here or before.
            tracks = np.searchsorted(self._first_position, position, side="right") - 1
            window = position - self._first_position[tracks]
            yield _WindowCrops(np.zeros_like(tracks), tracks, (window * self.window_frames)[:, None], window, position)


def choose_task(task: str, labels: list[npt.NDArray[np.bool_]]) -> str:
    """``tags`` or ``classes``, from ``auto`` by the labels of all splits.

    Raises:
        ConfigError: classes are asked for, and a track has no label or several.
    """
    counts = np.concatenate([matrix.sum(axis=1) for matrix in labels])
    single = bool((counts == 1).all()) and labels[0].shape[1] > 1
    if task == "classes" and not single:
        raise ConfigError(
            f"--task classes: {int((counts != 1).sum())} of {len(counts)} tracks do not have exactly one label of two "
            "or more; use --task tags"
        )
    return task if task != "auto" else "classes" if single else "tags"


class LabelledSplits(ExitStack):
    """Loaders of the three splits; closing it closes them.

    Raises:
        ConfigError: there are no labels, a split is empty or its labels leave nothing to rank, or the task is not
            the labels'.
        ShardError: as :class:`WindowLoader`.
    """

    def __init__(self, settings: SupervisedSettings, place: Place) -> None:
        super().__init__()
        manifest = read_manifest(settings.shards)
        if not manifest.labels:
            raise ConfigError(f"{settings.shards} carries no labels; shard the recordings with a labels.csv")
        with ExitStack() as opened:
            self.train = opened.enter_context(ShuffledWindows(settings, place))
            self.valid, self.test = (
                opened.enter_context(
                    WindowLoader(
                        settings.shards,
                        batch_size=self.train.batch_size,
                        sample_rate=settings.sample_rate,
                        splits=(split,),
                        rank=place.rank,
                        world_size=place.world_size,
                        device=place.device,
                    )
                )
                for split in ("valid", "test")
            )
            self.task = choose_task(settings.task, [self.train.labels, self.valid.labels, self.test.labels])
            for split, loader in (("valid", self.valid), ("test", self.test)):
                positives = loader.labels.sum(axis=0)
                if not ((positives > 0) & (positives < len(loader.tracks))).any():
                    raise ConfigError(f"no label of {settings.shards} has tracks with and without it in split {split}")
            self.push(opened.pop_all())
        state = hashlib.blake2b(digest_size=8)
        for shard in manifest.shards:
            state.update(f"{shard.name} {shard.sha256}\n".encode())
        self.dataset, self.shards_hash = manifest.dataset, state.hexdigest()

    @property
    def loaders(self) -> dict[str, WindowLoader]:
        """The three, by split."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def fingerprint(self) -> dict[str, Any]:
        """What has to be the same on every rank and whenever the run goes on."""
        state = hashlib.blake2b(repr(self.train.label_names).encode(), digest_size=8)
        for loader in self.loaders.values():
            for column in (loader.tracks.row, loader.tracks.pcm_offset, loader.tracks.frames, loader.labels):
                state.update(np.ascontiguousarray(column).tobytes())
        return {"shards": self.shards_hash, "tracks and labels": state.hexdigest(), "task": self.task}
