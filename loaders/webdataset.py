"""The stock webdataset pipeline over the shards, for those who want nothing on disk and need no index.

    manifest.json -> shards in the epoch's order -> tar_file_expander -> group_by_keys -> crops -> open batches

Only ``manifest.json`` and the tars are read, from front to back, from a folder or a URL. Each track is read whole, so
an epoch moves all bytes of its shards: 5.6 times those of the crops for clips of 30 s. EVERY RANK READS ALL OF THEM and
keeps its own rows. That is what makes one shard enough for any number of ranks, steps equal, every track come once, and
the global batches the same for every number of ranks, with unique songs over all of them. Where several ranks share a
slow line, the backends with an index move less.
"""

from __future__ import annotations

import hashlib
import logging
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count, repeat
from threading import Event
from typing import Any

import numpy as np
import torch
import webdataset as wds
from webdataset.tariterators import group_by_keys, tar_file_expander

from clmr.errors import ConfigError, ShardError
from loaders.batch import VIEWS, Supply
from loaders.corpus import crop_length
from loaders.meter import Counts, Meter
from loaders.order import hash_bits, rank_slice
from loaders.settings import PairSettings
from loaders.slabs import SlabPool
from loaders.threads import ReaderThreads
from loaders.webdataset_feed import Belt, StreamedFeed
from loaders.webdataset_pairs import PairMaker
from loaders.webdataset_samples import Losses, Track, UnusableError, open_sample
from loaders.webdataset_stream import CONNECTIONS, StoppedError, Stream, Streams, failure_of
from sharding.format import SAMPLE_BYTES, SPLITS, TAR_BLOCK_BYTES, Manifest, ShardInfo, read_manifest
from sharding.storage import place_at

logger = logging.getLogger(__name__)

MIXED = 2000  # pairs in batches that fill side by side, over all ranks: 472 MB at 22,050 Hz
DEPTH = 3  # full batches that wait for the consumer
UNUSED = ("window", "cache", "cache_bytes", "quiet_db")  # settings of the backends with an index


class StreamedPairs(Supply):
    """Pairs of the tracks of one folder of shards, as they stream by.

    A track is known by a number made of its key (:func:`loaders.webdataset_samples.track_number`): draws follow from
    it, and :attr:`Batch.track` holds it. A track gives ``pairs_per_read`` pairs, the ``i``-th from the views ``2i`` and
    ``2i + 1``, which go to as many batches. Where pairs are missing at the end of an epoch, because samples could not
    be used or because two tracks of a song would have met, the stream begins again and its tracks give one pair more.

    Resuming in mid-epoch reads the epoch from its beginning, without cropping, because the order follows from the
    samples: it takes as long as reading that part did.

    Args:
        settings: of the loader, with one folder of shards.
        rank: this process.
        world_size: processes that share each batch.
        device: where batches go.
        mixed: pairs, over all ranks, in batches that fill side by side; it decides the order. A rank holds its share
            of them and a few full batches, ``4 * crop_frames`` bytes for each pair.

    Attributes:
        unusable: samples that could not be used since this was made, by reason.
        repeated: pairs since this was made that tracks gave beyond their own, to fill an epoch.
    """

    def __init__(
        self, settings: PairSettings, rank: int, world_size: int, device: torch.device, *, mixed: int = MIXED
    ) -> None:
        self._rows = rank_slice(settings.batch_size, rank, world_size)
        self._told = rank == 0  # all ranks see the same
        self._seed = settings.seed
        self._device = device
        self._place = place_at(_only_folder(settings))
        manifest = read_manifest(self._place)
        self._shards = _used_shards(manifest, settings, self._place.name)
        self.sample_rate = _checked_rate(manifest, settings, self._place.name)
        self.crop_frames = crop_length(self.sample_rate, settings.crop_frames)
        self.track_count = sum(shard.tracks for shard in self._shards)
        self.steps = self.track_count // settings.batch_size * settings.pairs_per_read
        if not self.steps:
            raise ConfigError(
                f"batch size {settings.batch_size} needs as many tracks of different songs, there are "
                f"{self.track_count} in the splits used: give a --batch-size of {self.track_count} or less"
            )
        # The pairs of a track need as many open batches, and one alone would mix nothing.
        width = max(2, settings.pairs_per_read, -(-mixed // settings.batch_size))
        self._limit = width + (settings.depth if settings.depth is not None else DEPTH)
        self._slabs = SlabPool(
            (self._rows.stop - self._rows.start, len(VIEWS), self.crop_frames), pinned=device.type == "cuda"
        )
        self._meter = Meter()
        self._threads = None
        if self._place.root is None:
            self._threads = ReaderThreads(settings.threads if settings.threads is not None else CONNECTIONS)
        self._streams = Streams(self._place, self._threads, self._meter)
        self._maker = PairMaker(
            batch_size=settings.batch_size,
            rows=self._rows,
            steps=self.steps,
            crop_frames=self.crop_frames,
            pairs_per_read=settings.pairs_per_read,
            width=width,
            seed=settings.seed,
            meter=self._meter,
        )
        self.unusable: Counter[str] = Counter()
        self.repeated = 0
        self.fingerprint = {
            "backend": "webdataset",
            "tracks": _hash_shards(self._shards),
            "splits": list(settings.splits),
            "sample_rate": self.sample_rate,
            "crop_frames": self.crop_frames,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "mixed": width * settings.batch_size,
            "pairs_per_read": settings.pairs_per_read,
        }
        self.description = (
            f"webdataset backend; {self._place.name}: {len(self._shards)} shards from front to back, mixed over "
            f"{width} batches ({self._limit * self._slab_bytes / 1e6:,.0f} MB of memory per rank); every rank reads all "
            f"{sum(shard.bytes for shard in self._shards) / 1e9:.3g} GB of an epoch"
        )

    @property
    def _slab_bytes(self) -> int:
        rows, views, frames = self._slabs.shape
        return rows * views * frames * SAMPLE_BYTES

    def feed(self, epoch: int, step: int) -> StreamedFeed:
        """Batches from here on."""
        return StreamedFeed(partial(self._make, epoch, step), self._slabs, self._device, self._limit)

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
            laps = (self._tracks(shards, belt.stopped) for shards in repeat(shards))
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
    pipeline = wds.DataPipeline([{"url": address, "stream": stream}], tar_file_expander, group_by_keys)
    try:
        yield from pipeline
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        failure = failure_of(stream)
        if failure is not None:
            raise failure from None
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ShardError(f"{address} cannot be read as a tar ({reason}): copy or build it again") from error


def _tar_bytes(sample: Mapping[str, Any]) -> int:
    """What the members of a sample take up in the tar, headers and padding included."""
    sizes = [len(data) for name, data in sample.items() if not name.startswith("__")]
    return sum(TAR_BLOCK_BYTES + size + -size % TAR_BLOCK_BYTES for size in sizes)


def _only_folder(settings: PairSettings) -> str:
    """The folder of shards, after a look at the settings.

    Raises:
        ConfigError: they ask for what this backend does not do.
    """
    if len(settings.shards) > 1:
        raise ConfigError(
            f"the webdataset backend reads one folder of shards, not {len(settings.shards)}: mix with others"
        )
    for name in UNUSED:
        if getattr(settings, name) is not None:
            raise ConfigError(f"{name} does nothing with the webdataset backend: leave it out, or use another backend")
    if settings.access == "ranges":
        raise ConfigError("the webdataset backend reads shards whole: leave out access ranges, or use another backend")
    return settings.shards[0][0]


def _used_shards(manifest: Manifest, settings: PairSettings, name: str) -> tuple[ShardInfo, ...]:
    """The shards of the splits that are used, in the manifest's order."""
    for split in settings.splits:
        if split not in SPLITS:
            raise ConfigError(f"{split!r} is no split; one of {', '.join(SPLITS)}")
    shards = tuple(
        shard for split, infos in manifest.splits.items() if split in settings.splits for shard in infos if shard.tracks
    )
    if not shards:
        present = [split for split, infos in manifest.splits.items() if infos]
        raise ShardError(f"{name} has no tracks in {', '.join(settings.splits)}; it has {', '.join(present) or 'none'}")
    return shards


def _checked_rate(manifest: Manifest, settings: PairSettings, name: str) -> int:
    found = manifest.sample_rate
    if settings.sample_rate is not None and settings.sample_rate != found:
        raise ConfigError(f"{name} holds {found} Hz, not {settings.sample_rate} Hz: build shards at that rate")
    return found


def _hash_shards(shards: Sequence[ShardInfo]) -> str:
    """16 hex digits over what the samples and their order follow from."""
    state = hashlib.blake2b(digest_size=8)
    for shard in shards:
        state.update(f"{shard.name} {shard.sha256} {shard.tracks}\n".encode())
    return state.hexdigest()
