"""Crop pairs for contrastive pretraining: two random crops of every track, in a random order, epoch after epoch."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from clmr.draw import Keys, make_keys, uniform_numpy
from clmr.errors import ConfigError, ResumeError
from loaders.crops import CropReader, Crops, check_sample_rate, crop_length
from loaders.order import EpochOrder, rank_slice
from loaders.prefetch import Prefetcher
from loaders.slabs import SlabPool
from loaders.threads import ReaderThreads, default_threads
from loaders.transfer import usable_device
from sharding.format import ShardSet, Tracks, open_shards

logger = logging.getLogger(__name__)

VIEWS = (0, 1)
PLANNED = 32  # batches planned at a time: NumPy's cost is per call, not per track
DEPTH = 3  # batches in flight: one being read, one ready, one to absorb a slow read


@dataclass(frozen=True, eq=False)
class Batch:
    """This rank's rows of one global batch."""

    pcm: Tensor
    """Two crops of every track, int16 ``[b, 2, T]``, on the device."""
    keys: Tensor
    """Draw key of every view, int64 ``[b, 2]``, on the CPU, where augmentation parameters are drawn."""
    track: Tensor
    """Row of ``index.parquet``, int64 ``[b]``, on the CPU."""
    epoch: int
    step: int
    """Number of the batch in its epoch, from 0."""


@dataclass(frozen=True, eq=False)
class _PairCrops(Crops):
    """The plan of one batch."""

    keys: Keys
    epoch: int
    step: int


class PairLoader:
    """An endless supply of crop pairs from a folder of shards; one iteration is what is left of one epoch.

    Every track comes once per epoch, no two of one song in a global batch. What comes at (epoch, step) depends on the
    data, ``seed`` and ``batch_size`` alone, not on ranks, threads or interruptions.

    Args:
        shards: folder of shards.
        batch_size: rows of a GLOBAL batch; a rank gets ``batch_size / world_size`` of them.
        sample_rate: Hz the shards must have; None takes what they have.
        crop_frames: samples per crop; None takes the encoder's for the sample rate.
        seed: of order and crops.
        splits: which tracks to use.
        rank: this process, ``0 .. world_size - 1``.
        world_size: processes that share each batch; must divide ``batch_size``.
        device: where batches go, ``"cpu"`` or a CUDA device.
        threads: reading threads; None takes the cores available, at most 4.
        depth: batches read ahead.

    Attributes:
        tracks: the tracks in use, as flat arrays.
        order: the epoch order, with the numbers of tracks each epoch leaves out.
        wait_seconds: time spent waiting in this loader since it was made.
        bytes_read: bytes of PCM delivered since it was made.

    Raises:
        ConfigError: settings that cannot be used.
        ShardError: shards that are missing or damaged, or a track shorter than the crop. While iterating too.
    """

    def __init__(
        self,
        shards: str | os.PathLike[str],
        *,
        batch_size: int,
        sample_rate: int | None = None,
        crop_frames: int | None = None,
        seed: int = 0,
        splits: Sequence[str] = ("train",),
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
        threads: int | None = None,
        depth: int = DEPTH,
    ) -> None:
        if depth < 1:
            raise ConfigError(f"depth is {depth}: at least 1 batch must be in flight")
        shard_set = open_shards(shards)
        self.sample_rate = check_sample_rate(shard_set, sample_rate)
        self.crop_frames = crop_length(self.sample_rate, crop_frames)
        self.batch_size = batch_size
        self.seed = seed
        self.depth = depth
        self.device = usable_device(device)
        self.tracks = shard_set.tracks(splits)
        self.wait_seconds = 0.0
        self.bytes_read = 0
        self._rows = rank_slice(batch_size, rank, world_size)
        self.order = EpochOrder(self.tracks.song, batch_size, seed)
        if self.order.left_out and rank == 0:
            logger.warning(
                "%d tracks are left out of each epoch, others every time: their songs have more than %d tracks, and an "
                "epoch of %d steps takes one of a song per step",
                *(self.order.left_out, len(self), len(self)),
            )
        self._fingerprint = self._make_fingerprint(shard_set, splits)
        self._reader = CropReader(shard_set, self.tracks, self.crop_frames)
        self._slabs = SlabPool(
            (batch_size // world_size, len(VIEWS), self.crop_frames), pinned=self.device.type == "cuda"
        )
        self._threads = ReaderThreads(threads if threads is not None else default_threads())
        self._epoch, self._step = 0, 0  # of the next batch to deliver
        self._prefetch: Prefetcher[_PairCrops] | None = None

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self.order.steps

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        while self._epoch == epoch:
            yield self._next_batch()

    def state_dict(self) -> dict[str, Any]:
        """Where to go on: the batch after the last one delivered. Batches read ahead do not count."""
        return {"epoch": self._epoch, "step": self._step, "fingerprint": dict(self._fingerprint)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, by a loader of the same data and settings and any number of ranks.

        Raises:
            ResumeError: the state belongs to other data or settings, or is no loader state.
        """
        try:
            epoch, step, fingerprint = int(state["epoch"]), int(state["step"]), dict(state["fingerprint"])
        except (KeyError, TypeError, ValueError) as error:
            raise ResumeError(f"this is no state of a PairLoader ({error!r}): start the run afresh") from error
        for name, mine in self._fingerprint.items():
            if fingerprint.get(name) != mine and name == "tracks":
                raise ResumeError(
                    "the shards hold other tracks or samples than when the loader state was saved: resume with the "
                    "shards of then, or start a new run"
                )
            if fingerprint.get(name) != mine:
                raise ResumeError(
                    f"the loader state was saved with {name} {fingerprint.get(name)!r}, this run has {mine!r}: "
                    "resume with the same data and settings, or start a new run"
                )
        if epoch < 0 or not 0 <= step < len(self):
            raise ResumeError(f"the loader state stands at epoch {epoch}, step {step}; an epoch has {len(self)} steps")
        self._forget_prefetched()
        self._epoch, self._step = epoch, step

    def close(self) -> None:
        """Stop the threads and close the shards. Batches already delivered stay valid."""
        self._forget_prefetched()
        self._threads.close()
        self._reader.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next_batch(self) -> Batch:
        begin = time.perf_counter()
        if self._prefetch is None:
            plans = self._plan(self._epoch, self._step)
            self._prefetch = Prefetcher(plans, self._reader, self._threads, self._slabs, self.device, self.depth)
        try:
            crops, pcm = next(self._prefetch)
        except Exception:
            self._forget_prefetched()  # the next call tries again from the same batch
            raise
        track = torch.from_numpy(self.tracks.row[crops.tracks])
        last = crops.step + 1 == len(self)
        self._epoch, self._step = (crops.epoch + 1, 0) if last else (crops.epoch, crops.step + 1)
        self.bytes_read += pcm.numel() * pcm.element_size()
        self.wait_seconds += time.perf_counter() - begin
        return Batch(pcm, torch.from_numpy(crops.keys), track, crops.epoch, crops.step)

    def _plan(self, first_epoch: int, first_step: int) -> Iterator[_PairCrops]:
        """The crops of this rank's rows, batch after batch, without end."""
        for epoch in count(first_epoch):
            order = self.order.epoch(epoch)[:, self._rows]
            for begin in range(first_step if epoch == first_epoch else 0, len(order), PLANNED):
                tracks = order[begin : begin + PLANNED]
                keys = make_keys(self.seed, epoch, self.tracks.row[tracks].reshape(-1), VIEWS).reshape(*tracks.shape, 2)
                # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
                starts = uniform_numpy(keys, "crop") * (self.tracks.frames[tracks] - self.crop_frames + 1)[..., None]
                for step, crops in enumerate(zip(tracks, starts.astype(np.int64), keys, strict=True), start=begin):
                    yield _PairCrops(*crops, epoch, step)

    def _forget_prefetched(self) -> None:
        if self._prefetch is not None:
            self._prefetch.cancel()
        self._prefetch = None

    def _make_fingerprint(self, shard_set: ShardSet, splits: Sequence[str]) -> dict[str, Any]:
        return {
            "tracks": _hash_tracks(shard_set, self.tracks),
            "splits": list(splits),
            "sample_rate": self.sample_rate,
            "crop_frames": self.crop_frames,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _hash_tracks(shard_set: ShardSet, tracks: Tracks) -> str:
    """16 hex digits over everything that order, crops and samples follow from."""
    hashes = {shard.name: shard.sha256 for shard in shard_set.manifest.shards}
    state = hashlib.blake2b(digest_size=8)
    for name in tracks.shard_names:
        state.update(f"{name} {hashes[name]}\n".encode())
    for column in (tracks.shard, tracks.pcm_offset, tracks.frames, tracks.song, tracks.row):
        state.update(np.ascontiguousarray(column).tobytes())
    return state.hexdigest()
