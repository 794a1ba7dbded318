"""The stock webdataset pipeline over the shards, for those who want nothing on disk and need no index.

    manifest.json -> shards in random order -> tar_file_expander -> group_by_keys -> crops -> shuffle buffer -> batches

Only ``manifest.json`` and the tars are read, from front to back, from a folder or a URL. Each track is read whole, so
an epoch moves all bytes of its shards: 5.6 times those of the crops for clips of 30 s. EVERY RANK READS ALL OF THEM and
keeps its own rows. That is what makes one shard enough for any number of ranks, steps equal, every track come once, and
the global batches the same for every number of ranks, with unique songs over all of them. Where several ranks share a
slow line, the backends with an index move less.
"""

from __future__ import annotations

import logging
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count, repeat
from math import ceil
from threading import Event
from typing import Any

import numpy as np
import torch
import webdataset as wds
from webdataset.tariterators import group_by_keys, tar_file_expander

from clmr.errors import ConfigError, ShardError
from loaders.batch import VIEWS, Supply
from loaders.order.epochs import hash_bits, rank_slice
from loaders.reading.corpus import check_sample_rate, crop_length
from loaders.reading.meter import Counts, Meter
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads
from loaders.resident.memory import free_bytes
from loaders.settings import PairSettings
from loaders.tars.feed import Belt, StreamedFeed
from loaders.tars.pairs import PairMaker
from loaders.tars.samples import Losses, Track, UnusableError, open_sample
from loaders.tars.shards import hash_shards, only_folder, streamed_shards
from loaders.tars.stream import CONNECTIONS, StoppedError, Stream, Streams, failure_of
from sharding.format import SAMPLE_BYTES, TAR_BLOCK_BYTES, ShardInfo, read_manifest
from sharding.storage import place_at

logger = logging.getLogger(__name__)

WAITING = 2000  # pairs in the shuffle buffer: 472 MB of crops at 22,050 Hz
ROOM = 1.25  # the shuffle buffer holds at least the pairs of so many batches' tracks, so that songs can be kept apart
DEPTH = 3  # full batches that wait for the consumer


class StreamedPairs(Supply):
    """Pairs of the tracks of one folder of shards, as they stream by.

    A track is known by a number made of its key (:func:`loaders.tars.samples.track_number`): draws follow from
    it, and :attr:`Batch.track` holds it. A track gives ``pairs_per_read`` pairs, the ``i``-th from the views ``2i`` and
    ``2i + 1``, which go to as many batches. Where pairs are missing at the end of an epoch, because samples could not
    be used or two tracks of a song would have to meet, the stream begins again and its tracks give one pair more.

    Resuming in mid-epoch reads the epoch from its beginning, because the order follows from the samples: it takes as
    long as reading that part did.

    Args:
        settings: of the loader, with one folder of shards.
        rank: this process.
        world_size: processes that share each batch.
        device: where batches go.

    Attributes:
        unusable: samples that could not be used since this was made, by reason.
        repeated: pairs since this was made that tracks gave beyond their own, to fill an epoch.
    """

    def __init__(self, settings: PairSettings, rank: int, world_size: int, device: torch.device) -> None:
        self._rows = rank_slice(settings.batch_size, rank, world_size)
        self._told = rank == 0  # all ranks see the same
        self._seed = settings.seed
        self._device = device
        self._place = place_at(only_folder(settings))
        manifest = read_manifest(self._place)
        self._shards = streamed_shards(manifest, settings, self._place.name)
        self.sample_rate = check_sample_rate(manifest, settings.sample_rate, self._place.name)
        self.crop_frames = crop_length(self.sample_rate, settings.crop_frames)
        self.track_count = sum(shard.tracks for shard in self._shards)
        self.steps = self.track_count // settings.batch_size * settings.pairs_per_read
        if not self.steps:
            raise ConfigError(
                f"batch size {settings.batch_size} needs as many tracks of different songs, there are "
                f"{self.track_count} in the splits used: give a --batch-size of {self.track_count} or less"
            )
        self._meter = Meter()
        self._threads = None
        if self._place.root is None:
            self._threads = ReaderThreads(settings.threads if settings.threads is not None else CONNECTIONS)
        self._streams = Streams(self._place, self._threads, self._meter)
        # A pair that waits takes 4 * crop_frames bytes on every rank: its track is cropped before.
        waiting = max(settings.shuffle or WAITING, ceil(ROOM * settings.batch_size * settings.pairs_per_read))
        waiting = min(waiting, self.track_count * settings.pairs_per_read)
        buffer_bytes = waiting * len(VIEWS) * self.crop_frames * SAMPLE_BYTES
        if (free := free_bytes(torch.device("cpu"))) < buffer_bytes:
            raise ConfigError(
                f"the shuffle buffer takes {buffer_bytes / 1e9:.1f} GB for batches of {settings.batch_size} pairs with "
                f"{settings.pairs_per_read} of each track, and {free / 1e9:.1f} GB are free: "
                "use a smaller --batch-size or --shuffle"
            )
        share = self._rows.stop - self._rows.start
        self._slabs = SlabPool((share, len(VIEWS), self.crop_frames), pinned=device.type == "cuda")
        self._depth = settings.depth if settings.depth is not None else DEPTH
        self._maker = PairMaker(
            batch_size=settings.batch_size,
            rows=self._rows,
            steps=self.steps,
            crop_frames=self.crop_frames,
            pairs_per_read=settings.pairs_per_read,
            waiting=waiting,
            seed=settings.seed,
            slabs=SlabPool((1, len(VIEWS), self.crop_frames)),
            meter=self._meter,
        )
        self.unusable: Counter[str] = Counter()
        self.repeated = 0
        self.fingerprint = {
            "order": "webdataset",
            "tracks": hash_shards(self._shards),
            "splits": list(settings.splits),
            "sample_rate": self.sample_rate,
            "crop_frames": self.crop_frames,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "waiting": waiting,
            "pairs_per_read": settings.pairs_per_read,
        }
        self.description = (
            f"webdataset backend; {self._place.name}: {len(self._shards)} shards from front to back, shuffled in a "
            f"buffer of {waiting} pairs ({buffer_bytes / 1e6:,.0f} MB); "
            f"every rank reads all {sum(shard.bytes for shard in self._shards) / 1e9:.3g} GB of an epoch"
        )

    def feed(self, epoch: int, step: int) -> StreamedFeed:
        """Batches from here on."""
        return StreamedFeed(partial(self._make, epoch, step), self._slabs, self._device, self._depth)

    def counts(self) -> Counts:
        """What reading has cost so far; of files on this machine, a request is the reading of one sample."""
        return self._meter.counts()

    def close(self) -> None:
        """Stop fetching. Batches already delivered stay valid."""
        if self._threads is not None:
            self._threads.close()

    def _make(self, first_epoch: int, first_step: int, belt: Belt) -> None:
        """Every batch from here on: the work of the feed's thread."""
        for epoch in count(first_epoch):
            order = np.argsort(hash_bits(self._seed, epoch, np.arange(len(self._shards)), "webdataset.shard"))
            shards = [self._shards[number] for number in order]
            laps = map(self._tracks, repeat(shards), repeat(belt.stopped))
            repeated = self._maker.make(epoch, first_step if epoch == first_epoch else 0, laps, belt)
            self.repeated += repeated
            if repeated and self._told:
                logger.warning(
                    "%s: epoch %d was filled with a second pair of %d tracks, because of samples that cannot be used "
                    "or tracks of one song that would have met",
                    *(self._place.name, epoch, repeated),
                )

    def _tracks(self, shards: Sequence[ShardInfo], stopped: Event) -> Iterator[Track]:
        """The tracks of some shards, in order.

        Raises:
            ShardError: a shard is damaged, or too many samples cannot be used.
        """
        losses = Losses(self.track_count, self.unusable, told=self._told)
        for shard, stream in self._streams.open(shards, stopped):
            address, came = self._place.address(shard.name), 0
            for sample in self._timed(_samples(stream, address)):
                if stopped.is_set():
                    raise StoppedError
                came += 1
                try:
                    track = open_sample(sample, self.sample_rate, self.crop_frames)
                except UnusableError as error:
                    losses.add(address, sample["__key__"], str(error))
                else:
                    losses.used()
                    yield track
            if came != shard.tracks:
                raise ShardError(
                    f"{address} holds {came} samples up to where it can be read, manifest.json says {shard.tracks}: "
                    "copy or build it again"
                )

    def _timed(self, samples: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same, counted where they come from a file; what comes from a server is counted there."""
        while True:
            asked = time.perf_counter()
            sample = next(samples, None)
            if sample is None:
                return
            if self._threads is None:
                self._meter.add(read=_tar_bytes(sample), seconds=time.perf_counter() - asked)
            yield sample


def _samples(stream: Stream, address: str) -> Iterator[Mapping[str, Any]]:
    """The samples of a shard, by the stages that webdataset.WebDataset is made of."""
    try:
        yield from wds.DataPipeline(
            lambda: iter([{"url": address, "stream": stream}]), tar_file_expander, group_by_keys
        )
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        failure = failure_of(stream)
        if failure is not None:
            raise failure from None
        reason = getattr(error, "strerror", None) or str(error.args[0]).partition(" @ ")[0]  # webdataset adds the file
        raise ShardError(f"{address} cannot be read as a tar ({reason}): copy or build it again") from error


def _tar_bytes(sample: Mapping[str, Any]) -> int:
    """What the members of a sample take up in the tar, headers and padding included."""
    sizes = [len(data) for name, data in sample.items() if not name.startswith("__")]
    return sum(TAR_BLOCK_BYTES + size + -size % TAR_BLOCK_BYTES for size in sizes)
