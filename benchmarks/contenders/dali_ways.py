"""Ways to have DALI deliver the crops of PairLoader: the same bytes in the same order, as torch tensors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from loaders import PairLoader
from loaders.batch import VIEWS
from loaders.dali import load_dali
from loaders.order.epochs import EpochOrder
from loaders.order.mixture import MixedOrder
from loaders.planned import PairPlan
from loaders.reading.corpus import Corpus, used_shards
from loaders.reading.crops import Crops
from loaders.reading.files import ShardFiles
from loaders.reading.local import LocalSource
from loaders.reading.threads import ReaderThreads, default_threads
from sharding.format import SAMPLE_BYTES, open_shards

SECTOR = 512  # bytes: where a component of DALI's index may begin
SLACK = SECTOR // SAMPLE_BYTES - 1  # samples read too many, so that a crop may begin anywhere
Integers = npt.NDArray[np.int64]


class Places:
    """Where PairLoader's crops lie in the shards, batch after batch."""

    def __init__(self, shards: str, pairs: int, crop_frames: int) -> None:
        shard_set = open_shards(shards)
        self._tracks = shard_set.tracks(("train",))
        sizes, _ = used_shards(shard_set, self._tracks)
        self.paths = [str(shard_set.root / name) for name in self._tracks.shard_names]
        files = ShardFiles(shard_set.root, self._tracks.shard_names, sizes)
        corpus = Corpus(shard_set, self._tracks, LocalSource(files, ReaderThreads(1)))
        order = MixedOrder([EpochOrder(self._tracks.song, pairs)])
        plan = PairPlan([corpus], order, crop_frames=crop_frames, seed=0, rows=slice(0, pairs), depth=1)
        self._batches: Iterator[Crops] = (crops for block in plan.blocks(0, 0) for crops in block)

    def take(self, batches: int) -> tuple[Integers, Integers]:
        """Shard ``[batches, pairs]`` and first byte ``[batches, pairs, 2]`` of the next batches."""
        plans = list(islice(self._batches, batches))
        track, start = np.stack([plan.track for plan in plans]), np.stack([plan.start for plan in plans])
        shard = self._tracks.shard[track].astype(np.int64)
        return shard, self._tracks.pcm_offset[track][..., None] + SAMPLE_BYTES * start


def backend(shards: str, pairs: int, crop_frames: int) -> Iterator[Tensor]:
    """The dali backend: threads read into slabs, external_source without a copy takes each slab once it is read."""
    loader = PairLoader(shards, batch_size=pairs, crop_frames=crop_frames, backend="dali")
    while True:
        yield from (batch.pcm for batch in loader)


def _write_indexes(
    folder: Path, paths: Sequence[str], shard: Integers, byte: Integers, crop_frames: int
) -> tuple[list[str], list[str]]:
    """An index file for every run of crops of one tar: a reader goes through its tars one after the other."""
    runs = np.flatnonzero(np.r_[True, shard[1:] != shard[:-1], True])
    tars, indexes = [], []
    size = SAMPLE_BYTES * (crop_frames + SLACK)
    for begin, end in zip(runs[:-1].tolist(), runs[1:].tolist(), strict=True):
        rows = [f"pcm {offset} {size} crop\n" for offset in (byte[begin:end] // SECTOR * SECTOR).tolist()]
        path = folder / f"{begin}.idx"
        path.write_text(f"v1.2 {len(rows)}\n" + "".join(rows))
        tars.append(paths[shard[begin]])
        indexes.append(str(path))
    return tars, indexes


def _cut(tars: list[str], indexes: list[str], first: Integers, crop_frames: int) -> Any:
    """A pipeline that reads what the indexes say and drops the samples before each crop, ``first [batches, crops]``."""
    dali, fn, types = load_dali(), import_module("nvidia.dali.fn"), import_module("nvidia.dali.types")
    pipeline = dali.Pipeline(
        batch_size=first.shape[1], num_threads=default_threads(), device_id=None, prefetch_queue_depth=2
    )
    with pipeline:
        pcm = fn.readers.webdataset(
            paths=tars,
            index_paths=indexes,
            ext=["pcm"],
            dtypes=[types.INT16],
            missing_component_behavior="error",
        )
        begin = fn.external_source(source=list(first[..., None].astype(np.int32)), cycle=True, batch=True)
        pipeline.set_outputs(fn.slice(pcm[0] if isinstance(pcm, list) else pcm, begin, [crop_frames], axes=[0]))
    pipeline.build()
    return pipeline


def virtual_index(shards: str, pairs: int, crop_frames: int, batches: int, *, again: bool = False) -> Iterator[Tensor]:
    """readers.webdataset (mmap), with an index whose rows are pieces of members.

    Pieces are 512-byte aligned and T + 255 samples long, fn.slice cuts them to the sample. As a reader takes its tars
    one after the other, the index is one small file for every track; index and pipeline are made anew for every so many
    batches, or once and gone through again.
    """
    places = Places(shards, pairs, crop_frames)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        while True:
            shard, byte = places.take(batches)
            made = Path(tempfile.mkdtemp(dir=folder))
            tars, indexes = _write_indexes(
                made, places.paths, np.repeat(shard.reshape(-1), len(VIEWS)), byte.reshape(-1), crop_frames
            )
            first = byte % SECTOR // SAMPLE_BYTES
            pipeline = _cut(tars, indexes, first.reshape(batches, -1), crop_frames)
            while True:
                for _ in range(batches):
                    (output,) = pipeline.run()
                    pcm = torch.utils.dlpack.from_dlpack(output.as_tensor())
                    yield pcm.view(pairs, len(VIEWS), crop_frames)
                if not again:
                    break


class ReadInWorker:
    """Reads the crops of a batch in a process of DALI's."""

    def __init__(self, paths: Sequence[str], shard: Integers, byte: Integers, crop_frames: int) -> None:
        self._paths = paths
        self._shard = shard
        self._byte = byte
        self._crop_frames = crop_frames
        self._files: dict[int, int] = {}

    def __call__(self, info: Any) -> list[npt.NDArray[np.int16]]:
        """The batch of this iteration, a list of pairs ``[2, T]``."""
        number = info.iteration % len(self._shard)
        batch = np.empty((*self._byte.shape[1:], self._crop_frames), dtype=np.int16)
        for shard, starts, pair in zip(self._shard[number].tolist(), self._byte[number].tolist(), batch, strict=True):
            if shard not in self._files:
                self._files[shard] = os.open(self._paths[shard], os.O_RDONLY | os.O_CLOEXEC)
            for start, crop in zip(starts, pair, strict=True):
                os.preadv(self._files[shard], [crop], start)
        return list(batch)  # one array DALI would refuse: it asks whether the batch is true


def parallel(shards: str, pairs: int, crop_frames: int, workers: int, batches: int = 64) -> Iterator[Tensor]:
    """external_source(parallel=True, batch=True), worker processes (spawn) that read by preadv.

    The crops of the first batches come again and again.
    """
    dali, fn, types = load_dali(), import_module("nvidia.dali.fn"), import_module("nvidia.dali.types")
    places = Places(shards, pairs, crop_frames)
    source = ReadInWorker(places.paths, *places.take(batches), crop_frames)
    pipeline = dali.Pipeline(
        batch_size=pairs,
        num_threads=default_threads(),
        device_id=None,
        prefetch_queue_depth=2,
        py_num_workers=workers,
        py_start_method="spawn",
    )
    with pipeline:
        pipeline.set_outputs(
            fn.external_source(
                source=source,
                batch=True,
                batch_info=True,
                parallel=True,
                dtype=types.INT16,
                ndim=2,
                prefetch_queue_depth=workers,
            )
        )
    pipeline.build()
    while True:
        (output,) = pipeline.run()
        yield torch.utils.dlpack.from_dlpack(output.as_tensor())
