"""Crop pairs for contrastive pretraining: two random crops of every track, in a random order, epoch after epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch

from clmr.errors import ResumeError
from loaders.batch import Agree, Batch, Feed, Supply, decide_alone
from loaders.reading.meter import Counts
from loaders.settings import PairSettings
from loaders.transfer import usable_device

Shards = str | os.PathLike[str] | Mapping[str, float]


class PairLoader:
    """An endless supply of crop pairs from shards; one iteration is what is left of one epoch.

    Every track comes once per epoch of its data set, no two of one song in a global batch. What comes at (epoch, step)
    depends on the data, ``seed`` and ``batch_size`` alone, not on ranks, threads, storage or interruptions. (The
    backend ``webdataset`` has an order of its own, and streaming mixes tracks within a window of shards.)

    Args:
        shards: folder of shards, by path or URL; or several, each with the weight of its share in every batch.
        batch_size: rows of a GLOBAL batch; a rank gets ``batch_size / world_size`` of them.
        rank: this process, ``0 .. world_size - 1``.
        world_size: processes that share each batch; must divide ``batch_size``.
        device: where batches go, ``"cpu"`` or a CUDA device.
        agree: makes the ranks go by the first one's measurements, where settings are left to them.
        options: the other fields of :class:`loaders.PairSettings`: seed, backend, access, threads ...

    Attributes:
        settings: all of them.
        wait_seconds: time spent waiting in this loader since it was made.

    Raises:
        ConfigError: settings that cannot be used.
        ShardError: shards that are missing or damaged, or a track shorter than the crop. While iterating too.
        StorageError: an object store does not answer, or has other objects than before. While iterating too.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
        agree: Agree = decide_alone,
        **options: Any,
    ) -> None:
        if "splits" in options:
            options["splits"] = tuple(options["splits"])
        weights = shards if isinstance(shards, Mapping) else {os.fspath(shards): 1.0}
        self.settings = PairSettings(shards=tuple(weights.items()), batch_size=batch_size, **options)
        self.wait_seconds = 0.0
        self.supply: Supply = _open(self.settings, rank, world_size, usable_device(device), agree)
        self._epoch, self._step = 0, 0  # of the next batch to deliver
        self._feed: Feed | None = None
        self._uploaded = 0.0  # by feeds that are no more

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.supply.sample_rate

    @property
    def crop_frames(self) -> int:
        """Samples per crop."""
        return self.supply.crop_frames

    @property
    def track_count(self) -> int:
        """Tracks in use."""
        return self.supply.track_count

    @property
    def description(self) -> str:
        """How batches come and why so, one line."""
        return self.supply.description

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the batches follow from; two loaders of equal fingerprints give equal global batches."""
        return dict(self.supply.fingerprint)

    @property
    def upload_seconds(self) -> float:
        """Time that copies from host to device took since the loader was made; they run beside the computation."""
        return self._uploaded + (self._feed.upload_seconds if self._feed else 0.0)

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self.supply.steps

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        while self._epoch == epoch:
            yield self._next_batch()

    def counts(self) -> Counts:
        """Bytes, requests and latencies of all reading since the loader was made, reading ahead included."""
        return self.supply.counts()

    def state_dict(self) -> dict[str, Any]:
        """Where to go on: the batch after the last one delivered. Batches read ahead do not count."""
        return {"epoch": self._epoch, "step": self._step, "fingerprint": self.fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, by a loader of the same data and settings and any number of ranks.

        Raises:
            ResumeError: the state belongs to other data or settings, or is no loader state.
        """
        try:
            epoch, step, fingerprint = int(state["epoch"]), int(state["step"]), dict(state["fingerprint"])
        except (KeyError, TypeError, ValueError) as error:
            raise ResumeError(f"this is no state of a PairLoader ({error!r}): start the run afresh") from error
        for name, mine in self.supply.fingerprint.items():
            if fingerprint.get(name) != mine and name == "tracks":
                raise ResumeError(
                    "the shards hold other tracks or samples than when the loader state was saved: resume with the "
                    "shards of then, or start a new run"
                )
            if fingerprint.get(name) != mine and name == "order":
                raise ResumeError(
                    f"the loader state was saved with the order of the {_backends(fingerprint)}, this run has that of "
                    f"the {_backends(self.supply.fingerprint)}: resume with the same"
                )
            if fingerprint.get(name) != mine:
                raise ResumeError(
                    f"the loader state was saved with {name} {fingerprint.get(name)!r}, this run has {mine!r}: "
                    "resume with the same data and settings, or start a new run"
                )
        if epoch < 0 or not 0 <= step < len(self):
            raise ResumeError(f"the loader state stands at epoch {epoch}, step {step}; an epoch has {len(self)} steps")
        self._forget_feed()
        self._epoch, self._step = epoch, step

    def close(self) -> None:
        """Stop the threads and close the shards. Batches already delivered stay valid."""
        self._forget_feed()
        self.supply.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next_batch(self) -> Batch:
        begin = time.perf_counter()
        if self._feed is None:
            self._feed = self.supply.feed(self._epoch, self._step)
        try:
            batch = next(self._feed)
        except BaseException:  # Ctrl-C too: it may have broken off anywhere
            self._forget_feed()  # the next call tries again from the same batch
            raise
        last = batch.step + 1 == len(self)
        self._epoch, self._step = (batch.epoch + 1, 0) if last else (batch.epoch, batch.step + 1)
        self.wait_seconds += time.perf_counter() - begin
        return batch

    def _forget_feed(self) -> None:
        if self._feed is not None:
            self._uploaded += self._feed.upload_seconds
            self._feed.cancel()
        self._feed = None


def _open(settings: PairSettings, rank: int, world_size: int, device: torch.device, agree: Agree) -> Supply:
    if settings.backend == "webdataset":
        from loaders.webdataset import StreamedPairs

        return StreamedPairs(settings, rank, world_size, device)
    from loaders.indexed import IndexedPairs

    return IndexedPairs(settings, rank, world_size, device, agree)


def _backends(fingerprint: Mapping[str, Any]) -> str:
    """The backends that share an order, for people."""
    return "backends torch, dali and resident" if fingerprint.get("order") == "index" else "backend webdataset"


def windows_of(state: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The window of every data set in a loader's state; None where it holds none."""
    found = state.get("fingerprint", {}).get("window")
    return tuple(found) if found else None
