"""All windows of every track, in order: what feature extraction reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clmr.errors import ConfigError
from loaders.order.epochs import Integers
from loaders.prefetch import Prefetcher
from loaders.reading.corpus import Corpus, check_sample_rate, check_tracks, crop_length
from loaders.reading.crops import CropReader, Crops
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads, default_threads
from loaders.transfer import usable_device
from loaders.ways import open_in_place
from sharding.format import SPLITS, label_matrix, open_shards

DEPTH = 3
REMOTE_DEPTH = 8  # the windows of a batch share few requests


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Consecutive windows; the last batch of a rank may be shorter."""

    pcm: Tensor
    """int16 ``[b, T]``, on the device."""
    track: Tensor
    """Row of ``index.parquet``, int64 ``[b]``, on the CPU."""
    window: Tensor
    """Number of the window in its track, from 0, int64 ``[b]``, on the CPU."""
    position: Tensor
    """Number of the window among all windows of all ranks, int64 ``[b]``, on the CPU."""
    labels: Tensor
    """The track's labels, bool ``[b, vocabulary]``, in the order of ``label_names``, on the CPU."""


@dataclass(frozen=True, eq=False)
class _WindowCrops(Crops):
    """The plan of one batch."""

    window: Integers
    position: Integers


class WindowLoader:
    """Every whole window of every track, track after track in index order; one pass per iteration.

    Window k of a track holds its samples ``k * hop_frames .. k * hop_frames + window_frames``. The windows are numbered
    through (``position``) and shared out to the ranks in runs whose sizes differ by at most one, so ranks can write
    disjoint rows of one array. The samples between windows and after a track's last whole one are left out. Windows
    that overlap are read one by one from files, which the operating system then has in its cache; of remote shards
    those of a batch share requests.

    Args:
        shards: folder of shards.
        batch_size: windows per batch and rank.
        sample_rate: Hz the shards must have; None takes what they have.
        window_frames: samples per window; None takes the encoder's crop for the sample rate.
        hop_frames: samples from the start of a window to that of the next; None takes ``window_frames``.
        splits: which tracks to use.
        rank: this process, ``0 .. world_size - 1``.
        world_size: processes that share the windows.
        device: where batches go, ``"cpu"`` or a CUDA device.
        threads: reading threads; None takes the cores available, at most 4.

    Attributes:
        tracks: the tracks in use, as flat arrays of shape ``[N]``.
        windows_per_track: int64 ``[N]``.
        total_windows: their sum, over all ranks.
        label_names: the vocabulary, from the manifest.

    Raises:
        ConfigError: settings that cannot be used.
        ShardError: shards that are missing or damaged, or a track shorter than the window. While iterating too.
    """

    def __init__(
        self,
        shards: str | os.PathLike[str],
        *,
        batch_size: int,
        sample_rate: int | None = None,
        window_frames: int | None = None,
        hop_frames: int | None = None,
        splits: Sequence[str] = SPLITS,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
        threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch size is {batch_size}: at least 1 window is needed")
        if world_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(f"rank {rank} of world size {world_size}: the rank must lie in 0 .. world size - 1")
        if hop_frames is not None and hop_frames < 1:
            raise ConfigError(f"hop is {hop_frames} samples: at least 1 is needed")
        shard_set = open_shards(shards)
        self.sample_rate = check_sample_rate(shard_set.manifest, sample_rate, shard_set.place.name)
        self.window_frames = crop_length(self.sample_rate, window_frames)
        self.hop_frames = self.window_frames if hop_frames is None else hop_frames
        self.label_names = shard_set.manifest.labels
        self.batch_size = batch_size
        self.device = usable_device(device)
        self.tracks = shard_set.tracks(splits)
        check_tracks(shard_set, self.tracks, self.window_frames)
        self.windows_per_track: Integers = (self.tracks.frames - self.window_frames) // self.hop_frames + 1
        self._first_position = np.cumsum(self.windows_per_track) - self.windows_per_track
        self.total_windows = int(self.windows_per_track.sum())
        self._share = range(self.total_windows * rank // world_size, self.total_windows * (rank + 1) // world_size)
        self._slabs = SlabPool((batch_size, 1, self.window_frames), pinned=self.device.type == "cuda")
        self._threads = ReaderThreads(threads if threads is not None else default_threads())
        self._source = open_in_place(shard_set, self.tracks, self._threads)
        self._depth = DEPTH if shard_set.place.root is not None else REMOTE_DEPTH
        self._reader = CropReader([Corpus(shard_set, self.tracks, self._source)])

    def __len__(self) -> int:
        """Batches of this rank."""
        return (len(self._share) + self.batch_size - 1) // self.batch_size

    @cached_property
    def labels(self) -> npt.NDArray[np.bool_]:
        """The labels of every track, ``[N, vocabulary]``."""
        return label_matrix(self.tracks.table["labels"], self.label_names)

    def __iter__(self) -> Iterator[WindowBatch]:
        blocks = ([crops] for crops in self._plan())
        prefetch = Prefetcher(blocks, self._reader, self._slabs, self.device, self._depth)
        try:
            for crops, pcm in prefetch:
                yield WindowBatch(
                    pcm=pcm[:, 0],
                    track=torch.from_numpy(self.tracks.row[crops.track]),
                    window=torch.from_numpy(crops.window),
                    position=torch.from_numpy(crops.position),
                    labels=torch.from_numpy(self.labels[crops.track]),
                )
        finally:
            prefetch.cancel()

    def close(self) -> None:
        """Stop the threads and close the shards. Batches already delivered stay valid."""
        self._threads.close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _plan(self) -> Iterator[_WindowCrops]:
        for begin in range(0, len(self._share), self.batch_size):
            position = np.array(self._share[begin : begin + self.batch_size], dtype=np.int64)
            # Every track has a window, so first positions rise: the track is the last one that begins here or before.
            tracks = np.searchsorted(self._first_position, position, side="right") - 1
            window = position - self._first_position[tracks]
            start = (window * self.hop_frames)[:, None]
            yield _WindowCrops(np.zeros_like(tracks), tracks, start, window, position)
