"""Who brings planned crops to the device: each backend behind the same interface, loaded where it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import torch

from loaders.planned import PairCrops
from loaders.prefetch import Prefetch, Prefetcher
from loaders.reading.corpus import Corpus
from loaders.reading.crops import CropReader
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads
from loaders.settings import PairSettings
from sharding.format import Tracks

LEAST_PASSES = 2.0  # over the data, before it pays to load all of it


def choose_backend(settings: PairSettings, tracks: Sequence[Tracks], device: torch.device) -> tuple[str, str]:
    """The backend that was asked for, or the fastest that this machine can hold, and why it is that."""
    if settings.backend != "auto":
        return settings.backend, "as asked for"
    if device.type != "cuda":
        return "torch", "no GPU to keep samples on"
    passes = settings.passes(sum(map(len, tracks)))
    if passes is not None and passes < LEAST_PASSES:
        return "torch", f"loading all samples does not pay for {passes:.2g} passes"
    from loaders.resident.memory import fits

    room, reason = fits(sum(int(some.frames.sum()) for some in tracks), device)
    return ("resident" if room else "torch"), reason


class Backend:
    """Starts to deliver plans, as often as the loader is put somewhere else.

    Args:
        name: torch, dali or resident.
        corpora: the data sets.
        slabs: what batches are read into.
        threads: who reads, where threads do.
        device: where batches go.
        depth: batches in flight.
    """

    def __init__(
        self,
        name: str,
        corpora: Sequence[Corpus],
        slabs: SlabPool,
        threads: ReaderThreads,
        device: torch.device,
        depth: int,
    ) -> None:
        self.name = name
        self._reader = CropReader(corpora)
        self._slabs, self._threads, self._device, self._depth = slabs, threads, device, depth
        if name == "dali":
            from loaders.dali import load_dali

            load_dali()  # or say at once that it is not there
        if name == "resident":
            from loaders.resident.backend import ResidentPcm

            self._resident = ResidentPcm.load(corpora, device, copies=int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    def start(self, blocks: Iterator[Sequence[PairCrops]]) -> Prefetch[PairCrops]:
        """The batches of a plan, from its beginning."""
        if self.name == "resident":
            from loaders.resident.backend import ResidentPrefetch

            return ResidentPrefetch(blocks, self._resident, self._slabs, self._threads, self._depth)
        if self.name == "dali":
            from loaders.dali import DaliPrefetch

            return DaliPrefetch(blocks, self._reader, self._slabs, self._device, self._depth)
        return Prefetcher(blocks, self._reader, self._slabs, self._device, self._depth)
