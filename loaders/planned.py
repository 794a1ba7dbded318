"""Batches by arithmetic: order, crops and draw keys of every batch follow from (seed, epoch, step) and the index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch

from clmr.draw import Keys, make_keys, uniform_numpy
from loaders.batch import VIEWS, Batch, Feed
from loaders.order.epochs import Integers
from loaders.order.levels import Levels
from loaders.order.mixture import MixedOrder
from loaders.order.windowed import WindowedOrder
from loaders.prefetch import Prefetch
from loaders.reading.corpus import Corpus
from loaders.reading.crops import Crops

PLANNED = 32  # batches planned at a time: NumPy's cost is per call, not per track
SOURCE_BITS = 40  # draw keys tell the data sets of a mixture apart above this bit of the track's number


@dataclass(frozen=True, eq=False)
class PairCrops(Crops):
    """The plan of one batch of pairs."""

    keys: Keys
    row: Integers
    """Of ``index.parquet``, shape ``[b]``."""
    epoch: int
    step: int


class PairPlan:
    """What every batch holds.

    Args:
        corpora: the data sets.
        order: of their tracks.
        crop_frames: samples per crop.
        seed: of crops and keys.
        rows: this rank's rows of each global batch.
        depth: batches that are in flight at most; a multiple of ``pairs_per_read`` is kept.
        pairs_per_read: consecutive batches made of the same tracks, each with new crops.
        levels: of each data set where quiet crops are avoided.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        order: MixedOrder,
        *,
        crop_frames: int,
        seed: int,
        rows: slice,
        depth: int,
        pairs_per_read: int = 1,
        levels: Sequence[Levels] = (),
    ) -> None:
        self.order = order
        self.steps = order.steps * pairs_per_read
        self._corpora = tuple(corpora)
        self._crop_frames = crop_frames
        self._seed = seed
        self._rows = rows
        self._pairs_per_read = pairs_per_read
        self._levels = tuple(levels)
        self._announcer = Announcer(corpora, order, depth + pairs_per_read)

    def blocks(self, epoch: int, step: int) -> Iterator[list[PairCrops]]:
        """The batches from a step on, without end; those of a block are made of the same tracks."""
        repeats = self._pairs_per_read
        self._announcer.begin(epoch, step // repeats)
        for number in count(epoch):
            first = step if number == epoch else 0
            for begin in range(first // repeats, self.order.steps, PLANNED):
                steps = np.arange(begin, min(begin + PLANNED, self.order.steps))
                made = [self._batches(number, steps, repeat) for repeat in range(repeats)]
                for base, block in zip(steps.tolist(), zip(*made, strict=True), strict=True):
                    self._announcer.planned(number, base)
                    yield [batch for batch in block if batch.step >= first]

    def _batches(self, epoch: int, steps: Integers, repeat: int) -> list[PairCrops]:
        """The batches of some steps of the order, drawn for the ``repeat``-th time."""
        rows = self.order.rows(epoch, steps)
        source, track, passes = (array[:, self._rows] for array in (rows.source, rows.track, rows.passes))
        frames, row = self._look_up(source, track)
        numbers = row + (source << SOURCE_BITS)
        views = [view + len(VIEWS) * repeat for view in VIEWS]
        keys = make_keys(self._seed, passes.reshape(-1), numbers.reshape(-1), views).reshape(*track.shape, len(VIEWS))
        start = self._starts(keys, frames, source, track)
        steps = steps * self._pairs_per_read + repeat
        return [
            PairCrops(source[i], track[i], start[i], keys[i], row[i], epoch, int(step)) for i, step in enumerate(steps)
        ]

    def _look_up(self, source: Integers, track: Integers) -> tuple[Integers, Integers]:
        """Frames and index row of tracks, in the arrays' shape."""
        if len(self._corpora) == 1:
            tracks = self._corpora[0].tracks
            return tracks.frames[track], tracks.row[track]
        frames, row = np.empty_like(track), np.empty_like(track)
        for number, corpus in enumerate(self._corpora):
            here = source == number
            frames[here], row[here] = corpus.tracks.frames[track[here]], corpus.tracks.row[track[here]]
        return frames, row

    def _starts(self, keys: Keys, frames: Integers, source: Integers, track: Integers) -> Integers:
        """First sample of every crop, ``[..., views]``."""
        if not self._levels:
            # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
            uniform = uniform_numpy(keys, "crop") * (frames - self._crop_frames + 1)[..., None]
            starts: Integers = uniform.astype(np.int64)
            return starts
        starts = np.empty(keys.shape, dtype=np.int64)
        for number, levels in enumerate(self._levels):
            here = source == number
            starts[here] = levels.choose_starts(keys[here], frames[here], self._crop_frames, track[here])
        return starts


class Announcer:
    """Tells sources that fetch whole shards which ones come next, and lets them forget those that are through.

    Args:
        corpora: the data sets.
        order: of their tracks.
        depth: batches that may be planned and not yet delivered; their shards are kept.
    """

    def __init__(self, corpora: Sequence[Corpus], order: MixedOrder, depth: int) -> None:
        self._windowed = [
            (corpus.source, inner)
            for corpus, inner in zip(corpora, order.orders, strict=True)
            if isinstance(inner, WindowedOrder)
        ]
        self._order = order
        self._depth = depth
        self._first = 0
        self._announced: list[tuple[int, int] | None] = [None] * len(self._windowed)

    def begin(self, epoch: int, step: int) -> None:
        """Reading begins at this step of the order."""
        self._first = epoch * self._order.steps + step
        self._announced = [None] * len(self._windowed)
        self.planned(epoch, step)

    def planned(self, epoch: int, step: int) -> None:
        """The batch of this step is planned, so those ``depth`` before it are delivered."""
        position = max(self._first, epoch * self._order.steps + step - self._depth)
        for number, (source, order) in enumerate(self._windowed):
            own = divmod(position, order.steps)
            group = (own[0], order.group_of(*own))
            if self._announced[number] != group:
                self._announced[number] = group
                source.expect(order.shards_from(*own))


class PlannedFeed(Feed):
    """Batches of a plan, read by a backend."""

    def __init__(self, prefetch: Prefetch[PairCrops]) -> None:
        self._prefetch = prefetch

    def __next__(self) -> Batch:
        """The next batch."""
        crops, pcm = next(self._prefetch)
        return Batch(
            pcm=pcm,
            keys=torch.from_numpy(crops.keys),
            track=torch.from_numpy(crops.row),
            source=torch.from_numpy(crops.source.copy()),
            epoch=crops.epoch,
            step=crops.step,
        )

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to a GPU took."""
        return self._prefetch.upload_seconds

    def cancel(self) -> None:
        """Forget what is under way."""
        self._prefetch.cancel()
