"""Remote shards, each pinned to the version that was read first."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event

from clmr.errors import ShardError, StorageError
from loaders.reading.meter import Meter
from sharding.storage import Place, Version


class GivenUpError(Exception):
    """Nobody waits for the bytes any more."""


class RemoteShards:
    """Shards by number, to be read from by any number of threads.

    Args:
        place: where they are.
        names: of the shards.
        sizes: their bytes, as the manifest says.
        meter: counts repeated requests.

    Attributes:
        meter: the same.
        stopped: set when nothing is to be asked for any more.
    """

    def __init__(self, place: Place, names: Sequence[str], sizes: Sequence[int], meter: Meter) -> None:
        self.meter = meter
        self.stopped = Event()
        self._place = place
        self._names = tuple(names)
        self._sizes = tuple(sizes)
        self._versions: dict[int, Version] = {}

    def read(self, shard: int, begin: int, end: int, waiting: Future[None]) -> bytes | memoryview:
        """Bytes of a shard, by one request; it is repeated as long as it may help and somebody waits.

        Args:
            shard: number.
            begin: first byte.
            end: the byte after the last one.
            waiting: done when the bytes are of no use any more.

        Raises:
            ShardError: it never was the shard that the manifest names.
            StorageError: it was replaced since, or cannot be read.
            GivenUpError: nobody is waiting any more.
        """

        def pause(seconds: float) -> None:
            self.meter.add(retries=1)
            if self.stopped.wait(seconds) or waiting.done():
                raise GivenUpError

        name = self._names[shard]
        try:
            piece = self._place.piece(name, begin, end, pause=pause)
        except FileNotFoundError:
            address = self._place.address(name)
            raise StorageError(f"{address}: there is no such file; copy the shard there or build it again") from None
        except OSError as error:
            raise StorageError(f"{self._place.address(name)}: {error.strerror or error}") from None
        if self._versions.get(shard) != piece.version:
            self._pin(shard, piece.version)
        if len(piece.data) != end - begin:
            raise StorageError(f"{self._place.address(name)}: {len(piece.data)} bytes came instead of {end - begin}")
        return piece.data

    def _pin(self, shard: int, version: Version) -> None:
        """Remember the first version of a shard that comes, and refuse every other."""
        address = self._place.address(self._names[shard])
        if shard not in self._versions and version.size != self._sizes[shard]:
            raise ShardError(f"{address} has {version.size} bytes, not {self._sizes[shard]}: copy or build it again")
        if self._versions.setdefault(shard, version) != version:
            raise StorageError(
                f"{address}: was replaced while in use; start again, from a checkpoint of the same shards"
            )
