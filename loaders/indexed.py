"""The supply of pairs behind an index: any order, any backend, any storage, to the sample."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import torch

from loaders.backends import Backend, choose_backend
from loaders.batch import VIEWS, Agree, Supply
from loaders.order.epochs import rank_slice
from loaders.order.levels import Levels
from loaders.order.mixture import MixedOrder, shares
from loaders.planned import PairPlan, PlannedFeed
from loaders.reading.corpus import Corpus, check_sample_rate, check_tracks, crop_length, hash_tracks, total_tracks
from loaders.reading.meter import NOTHING, Counts
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads, default_threads
from loaders.settings import PairSettings
from loaders.ways import Task, choose_ways, default_depth, make_order, open_source
from sharding.format import ShardSet, Tracks, open_shards

logger = logging.getLogger(__name__)


class IndexedPairs(Supply):
    """Pairs of the tracks that an index lists.

    Attributes:
        corpora: the data sets.
        order: of their tracks.
    """

    def __init__(self, settings: PairSettings, rank: int, world_size: int, device: torch.device, agree: Agree) -> None:
        self.settings = settings
        rows = rank_slice(settings.batch_size, rank, world_size)
        found = self._find()
        self.backend, why = agree(lambda: choose_backend(settings, [tracks for _, tracks in found], device))
        parts = shares(settings.batch_size, [weight for _, weight in settings.shards]).tolist()
        share = min(1.0, int(os.environ.get("LOCAL_WORLD_SIZE", "1")) / world_size)
        tasks = [Task(*each, self.crop_frames, part, share) for each, part in zip(found, parts, strict=True)]
        ways = agree(lambda: choose_ways(settings, self.backend, tasks))
        orders = [
            make_order(way, tracks, part, settings.seed)
            for way, (_, tracks), part in zip(ways, found, parts, strict=True)
        ]
        self._threads = ReaderThreads(settings.threads if settings.threads is not None else default_threads())
        self.corpora = tuple(
            Corpus(shard_set, tracks, open_source(way, shard_set, tracks, order, self._threads, settings))
            for way, (shard_set, tracks), order in zip(ways, found, orders, strict=True)
        )
        self.order = MixedOrder(orders)
        slabs = SlabPool((rows.stop - rows.start, len(VIEWS), self.crop_frames), pinned=device.type == "cuda")
        depth = settings.depth if settings.depth is not None else default_depth(ways, slabs.shape[0] * len(VIEWS))
        self._backend = Backend(self.backend, self.corpora, slabs, self._threads, device, depth)
        levels = self._levels()
        self._plan = PairPlan(
            self.corpora,
            self.order,
            crop_frames=self.crop_frames,
            seed=settings.seed,
            rows=rows,
            depth=depth,
            pairs_per_read=settings.pairs_per_read,
            levels=levels,
        )
        self.steps = self._plan.steps
        self.track_count = total_tracks(self.corpora)
        told = [f"{self.backend} backend ({why})"]
        for corpus, way in zip(self.corpora, ways, strict=True):
            told.append(": ".join(filter(None, [corpus.shard_set.place.name, way.reason, corpus.source.description])))
        self.description = "; ".join(told)
        self.fingerprint = self._make_fingerprint([way.window for way in ways], levels)
        if rank == 0:
            self._tell_left_out()

    def feed(self, epoch: int, step: int) -> PlannedFeed:
        """Batches from here on."""
        return PlannedFeed(self._backend.start(self._plan.blocks(epoch, step)))

    def counts(self) -> Counts:
        """What reading has cost so far."""
        return reduce(add, (corpus.source.meter.counts() for corpus in self.corpora), NOTHING)

    def close(self) -> None:
        """Stop the threads and close the shards. Batches already delivered stay valid."""
        self._threads.close()
        for corpus in self.corpora:
            corpus.source.close()

    def _find(self) -> list[tuple[ShardSet, Tracks]]:
        """Open the data sets and check that they fit each other and the crop."""
        sets = [open_shards(shards) for shards, _ in self.settings.shards]
        self.sample_rate = check_sample_rate(sets[0].manifest, self.settings.sample_rate, sets[0].place.name)
        for shard_set in sets[1:]:
            check_sample_rate(shard_set.manifest, self.sample_rate, shard_set.place.name)
        self.crop_frames = crop_length(self.sample_rate, self.settings.crop_frames)
        found = [(shard_set, shard_set.tracks(self.settings.splits)) for shard_set in sets]
        for shard_set, tracks in found:
            check_tracks(shard_set, tracks, self.crop_frames)
        return found

    def _levels(self) -> list[Levels]:
        """Of each data set, where quiet crops are avoided."""
        if self.settings.quiet_db is None:
            return []
        return [Levels(corpus.tracks, self.sample_rate, self.settings.quiet_db) for corpus in self.corpora]

    def _tell_left_out(self) -> None:
        for corpus, order in zip(self.corpora, self.order.orders, strict=True):
            if order.left_out:
                logger.warning(
                    "%s: %d tracks are left out of each epoch, others every time: their songs have more than %d "
                    "tracks, and an epoch of %d steps takes one of a song per step",
                    *(corpus.shard_set.place.name, order.left_out, order.steps, order.steps),
                )

    def _make_fingerprint(self, windows: list[int], levels: Sequence[Levels]) -> dict[str, Any]:
        settings = self.settings
        return {
            "order": "index",
            "tracks": [hash_tracks(corpus.shard_set, corpus.tracks) for corpus in self.corpora],
            "splits": list(settings.splits),
            "sample_rate": self.sample_rate,
            "crop_frames": self.crop_frames,
            "batch_size": settings.batch_size,
            "shares": [order.batch_size for order in self.order.orders],
            "seed": settings.seed,
            "window": windows,
            "pairs_per_read": settings.pairs_per_read,
            "quiet_db": settings.quiet_db,
            "levels": [each.digest() for each in levels],
        }
