"""How single shards get into the cache: their version is asked for once, then they are found there or fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, Thread

from clmr.errors import ShardError, StorageError
from loaders.cache.fetch import Download, Requests
from loaders.cache.folder import RemoteShard, charge
from loaders.cache.jobs import Membership
from loaders.cache.locks import HeldShard, Part
from loaders.cache.store import FULL_DISK, Refusal, ShardCache
from loaders.reading.meter import Meter
from sharding.storage import Place


class Shelf:
    """The shards of one data set, by number, wherever they are.

    Args:
        place: where they come from.
        names: of the shards in it.
        sizes: bytes of each.
        hashes: SHA-256 of each.
    """

    def __init__(self, place: Place, names: Sequence[str], sizes: Sequence[int], hashes: Sequence[str]) -> None:
        self.place = place
        self.names, self.sizes, self.hashes = tuple(names), tuple(sizes), tuple(hashes)

    def address(self, number: int) -> str:
        """Full address of a shard, the same from every working folder."""
        name = self.names[number]
        return str(self.place.root.absolute() / name) if self.place.root else self.place.address(name)

    def identity(self) -> str:
        """Tells data sets apart."""
        addresses = "\n".join(map(self.address, range(len(self.names))))
        return hashlib.blake2b(addresses.encode(), digest_size=20).hexdigest()

    def minimum(self, at_once: int) -> int:
        """Bytes of the cache that so many of the shards can take."""
        return sum(sorted(map(charge, self.sizes), reverse=True)[:at_once])

    def look(self, number: int) -> RemoteShard:
        """The version of a shard that lies there now.

        Raises:
            ShardError: it has another size than the manifest says.
        """
        version = self.place.version(self.names[number])
        if version.size != self.sizes[number]:
            raise ShardError(
                f"{self.address(number)} has {version.size} bytes, not {self.sizes[number]}: copy or build it again"
            )
        return RemoteShard(self.address(number), version.size, version.tag, self.hashes[number])

    def explain(self, number: int, error: Exception) -> Exception:
        """An error of the system, as one that names the shard."""
        if isinstance(error, FileNotFoundError):
            return ShardError(f"{self.address(number)} is missing: copy or build it again")
        if isinstance(error, OSError):
            return StorageError(f"{self.address(number)}: {error.strerror or error}")
        return error


class Arrivals:
    """Gets shards into the cache.

    Args:
        shelf: where they come from.
        cache: where they go.
        membership: of the job, in that cache.
        requests: in flight at most.
        meter: counts the requests for ranges.
        arrived: called with the number of a shard and the shard.
        failed: called with the number of a shard and what keeps it away.
        changed: called where another call of :meth:`get` may achieve more than the last.
    """

    def __init__(
        self,
        shelf: Shelf,
        cache: ShardCache,
        membership: Membership,
        *,
        requests: int,
        meter: Meter,
        arrived: Callable[[int, HeldShard], None],
        failed: Callable[[int, Exception], None],
        changed: Callable[[], None],
    ) -> None:
        self._shelf = shelf
        self._cache = cache
        self._membership = membership
        self._meter = meter
        self._arrived = arrived
        self._failed = failed
        self._changed = changed
        self._requests = Requests(requests, idle=changed)
        self._versions: dict[int, RemoteShard] = {}  # as they were at first use, to the end
        self._asked: set[int] = set()
        self._parts: dict[int, Part] = {}
        self._lock = Lock()
        self._closed = False

    def get(self, number: int, *, urgent: bool, ahead: bool, last: bool) -> Refusal | None:
        """Do what can be done now towards a shard, without waiting.

        Args:
            number: of the shard.
            urgent: a batch waits for it.
            ahead: others may be fetched too, as far as requests are free.
            last: nothing is held that could be let go for it.

        Returns:
            What is in the way, if it is something that passes.
        """
        if number in self._parts or number in self._asked:
            return None
        shard = self._versions.get(number)
        if shard is None:
            if urgent or len(self._asked) < self._requests.count:
                self._asked.add(number)
                self._requests.submit(partial(self._look, number), first=True)
            return None
        if not urgent and (not ahead or self._requests.is_busy()):
            return None
        try:
            taken = self._cache.take(shard, self._membership, urgent=urgent)
            if isinstance(taken, Part):
                self._fetch(number, shard, taken)
            elif isinstance(taken, HeldShard):
                self._arrived(number, taken)
            elif taken is Refusal.DISK and urgent and last:
                self._failed(number, self._cache.disk_full(shard))
            else:
                return taken
        except StorageError as error:
            self._failed(number, error)
        return None

    def _look(self, number: int) -> None:
        try:
            self._versions[number] = self._shelf.look(number)
        except Exception as error:  # whoever waits is told
            self._failed(number, self._shelf.explain(number, error))
        self._asked.discard(number)
        self._changed()

    def _fetch(self, number: int, shard: RemoteShard, part: Part) -> None:
        try:
            self._cache.allocate(shard, part)
        except BaseException:
            self._cache.drop(part)
            raise
        with self._lock:
            self._parts[number] = part
        finished = partial(self._finish, number, part)
        place, name = self._shelf.place, self._shelf.names[number]
        Download(place, name, shard, part, self._requests, self._meter, finished)

    def _finish(self, number: int, part: Part, error: Exception | None) -> None:
        held = None
        if error is None:
            try:
                held = self._cache.publish(part)
            except (OSError, StorageError) as failure:
                error = failure
        if held is None:
            self._cache.drop(part)
        with self._lock:
            self._parts.pop(number, None)
        if held is not None:
            self._arrived(number, held)
        elif isinstance(error, OSError) and error.errno in FULL_DISK:
            self._failed(number, self._cache.disk_full(self._versions[number]))
        elif error is not None:
            self._failed(number, self._shelf.explain(number, error))
        self._changed()

    def works_in(self, thread: Thread) -> bool:
        """Whether a thread is one of those that make the requests."""
        return thread in self._requests.threads

    def close(self) -> None:
        """Stop, and remove what is not whole; what is in flight gets a moment to end."""
        self._requests.close()
        with self._lock:
            parts, self._parts = self._parts, {}
        for part in parts.values():
            self._cache.drop(part)
