"""The shards of one data set in the cache: those that batches wait for first, those that come next as room permits.

One thread decides, again whenever something changed: which shards are to be held, in the order of their use; which are
let go; which is fetched next. It never waits for a request or for another process, so no batch waits for another's.
"""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread

from clmr.errors import ConfigError
from loaders.cache.arrivals import Arrivals, Shelf
from loaders.cache.fetch import ENDING_SECONDS
from loaders.cache.folder import charge, in_units
from loaders.cache.jobs import Situation, Statement
from loaders.cache.locks import HeldShard
from loaders.cache.store import Refusal, ShardCache
from loaders.cache.window import Want, rank, window, yielding
from loaders.reading.files import OpenShard
from loaders.reading.meter import Meter
from loaders.reading.threads import ProcessGuard

logger = logging.getLogger(__name__)

CLOSED = "this loader is closed: make a new one"
URGENT_SECONDS = 0.02
"""How often a batch looks for a shard that another process fetches, or for room that others hold."""
AHEAD_SECONDS = 0.2
"""The same for shards that no batch waits for yet."""
IDLE_SECONDS = 0.5
"""How often it is asked, where nothing is missing, whether other jobs need room."""
MESSAGE_SECONDS = 10.0
"""How long a batch waits for room before somebody is told."""


def most_open() -> int:
    """Shards that a batch may need at once, each an open file: a quarter of the files that a process may open."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if allowed == resource.RLIM_INFINITY else max(allowed // 4, 16)


class Keeper:
    """Holds the shards of a data set.

    Args:
        shelf: where they come from.
        cache: where they are held.
        at_once: shards that batches can need at once.
        requests: in flight at most.
        meter: counts the requests for ranges.

    Attributes:
        minimum: bytes of the cache that this takes at least.
    """

    def __init__(self, shelf: Shelf, cache: ShardCache, *, at_once: int, requests: int, meter: Meter) -> None:
        self.minimum = shelf.minimum(at_once)
        self._shelf = shelf
        self._cache = cache
        self._membership = cache.join(shelf.identity(), self.minimum)
        self._most = most_open()
        self._guard = ProcessGuard()
        self._lock = Lock()
        self._closed = False
        self._wants: dict[Want, None] = {}
        self._expected: dict[int, int] = {}  # shard -> place in the order
        self._held: dict[int, HeldShard] = {}
        self._failed: set[int] = set()  # fetched ahead in vain: not tried again until a batch needs them
        self._restless = False  # something could not be had at once
        self._full_since: float | None = None
        self._wake: SimpleQueue[None] = SimpleQueue()  # unlike an event, a garbage collection may use it anywhere
        self._arrivals = Arrivals(
            shelf,
            cache,
            self._membership,
            requests=requests,
            meter=meter,
            arrived=self._arrived,
            failed=self._fail,
            changed=self._change,
        )
        self._thread = Thread(target=self._run, name="shard-keeper", daemon=True)
        self._thread.start()

    def __getitem__(self, number: int) -> OpenShard:
        """A shard that is held; keep the object as long as you read from it.

        Raises:
            ConfigError: nothing is held any more.
        """
        try:
            return self._held[number]
        except KeyError:
            raise ConfigError(CLOSED) from None

    def expect(self, shards: Sequence[int]) -> None:
        """Fetch these next, in this order; let go of others."""
        self._guard.check()
        with self._lock:
            self._expected = {number: place for place, number in enumerate(dict.fromkeys(shards))}
        self._change()

    def want(self, shards: Sequence[int], ready: Callable[[Exception | None], None]) -> Want:
        """Hold these from now on.

        Args:
            shards: all of them at once.
            ready: called when they are held, in this thread or another; or with what keeps them from it.

        Raises:
            ConfigError: after :meth:`close`, or in a forked child.
        """
        self._guard.check()
        with self._lock:
            if self._closed:
                raise ConfigError(CLOSED)
            last = len(self._expected)
            want = Want(sorted(shards, key=lambda number: self._expected.get(number, last)), ready)
            self._wants[want] = None
            self._failed.difference_update(shards)
            want.told = self._held.keys() >= set(shards)
        if want.told:
            want.tell(None)
        else:
            self._change()
        return want

    def done(self, want: Want) -> None:
        """Give back what was wanted."""
        with self._lock:
            self._wants.pop(want, None)
        want.forget()
        if self._restless:
            self._change()

    def close(self) -> None:
        """End, within about a second; who still waits gets an error. In a forked child nothing happens."""
        try:
            self._guard.check()
        except ConfigError:
            return
        self._closed = True  # without the lock: a garbage collection may call this anywhere
        self._change()
        if current_thread() is not self._thread and not self._arrivals.works_in(current_thread()):
            self._thread.join(2 * ENDING_SECONDS)

    def _change(self) -> None:
        self._wake.put(None)

    def _run(self) -> None:
        while not self._closed:
            try:
                seconds = self._pass()
            except Exception as error:  # the folder was removed, the disk fails: whoever waits is told
                self._tell(self._waiting(), self._cache.explain(error))
                seconds = IDLE_SECONDS
            with suppress(Empty):
                self._wake.get(timeout=seconds)
                while True:
                    self._wake.get_nowait()
        self._tell(self._waiting(), ConfigError(CLOSED))
        self._arrivals.close()
        self._held = {}
        self._membership.close()

    def _pass(self) -> float:
        """Bring what is held nearer to what should be; seconds after which to look again."""
        with self._cache.folder.locked():
            situation = self._membership.situation()
        with self._lock:
            urgent, order = rank(self._wants, self._expected)
            chosen = window(order, urgent, self._shelf.sizes, situation.share, self._most // 2)
            if situation.pressed:
                chosen = yielding(chosen, urgent, self._held)
            loose = [self._held.pop(number) for number in self._held.keys() - set(chosen)]
            missing = [number for number in chosen if number not in self._held and number not in self._failed]
            last = self._held.keys() <= urgent
        for shard in loose:
            shard.touch()
        loose.clear()
        if missing:
            self._check()
        ahead = not situation.pressed
        refused: dict[int, Refusal] = {}
        for number in missing:
            if number in self._failed:
                continue
            refusal = self._arrivals.get(number, urgent=number in urgent, ahead=ahead, last=last)
            if refusal is not None:
                refused[number] = refusal
                ahead = ahead and refusal is Refusal.BUSY
        blocked = {refusal for number, refusal in refused.items() if number in urgent}
        self._wait_for_room(situation, waiting=bool(blocked - {Refusal.BUSY}))
        self._restless = bool(refused) or situation.pressed
        return URGENT_SECONDS if blocked else AHEAD_SECONDS if self._restless else IDLE_SECONDS

    def _check(self) -> None:
        """Make sure that what the next batch needs can be there at once."""
        want = next(iter(self._waiting()), None)
        if want is None:
            return
        if len(want.shards) > self._most:
            refusal = (
                f"a batch needs {len(want.shards)} shards at once, and {self._most} may be open: raise the limit of "
                f"open files (ulimit -n {4 * len(want.shards)}), or mix fewer shards"
            )
            self._tell([want], ConfigError(refusal))
            return
        needed = sum(charge(self._shelf.sizes[number]) for number in want.shards)
        if needed > self._membership.minimum:
            try:
                self._membership.need(Statement(needed, self._cache.limit_bytes))
            except ConfigError as error:
                self._tell([want], error)

    def _wait_for_room(self, situation: Situation, *, waiting: bool) -> None:
        """Have other jobs let go of what they hold ahead, and tell people where that takes long."""
        self._membership.wait_for_room(waiting=waiting)
        if not waiting:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = time.monotonic()
        elif time.monotonic() - self._full_since > MESSAGE_SECONDS:
            self._full_since = math.inf  # once
            logger.warning(
                "waiting for room in the cache %s: all of its %s are in use by %d job(s)",
                *(self._cache.root, in_units(situation.limit), situation.jobs),
            )

    def _waiting(self) -> list[Want]:
        with self._lock:
            return [want for want in self._wants if not want.told]

    def _arrived(self, number: int, shard: HeldShard) -> None:
        with self._lock:
            if self._closed:
                return
            self._held[number] = shard
            ready = [want for want in self._wants if not want.told and self._held.keys() >= set(want.shards)]
            for want in ready:
                want.told = True  # in the same breath: from now on nothing of theirs is let go
        for want in ready:
            want.tell(None)

    def _fail(self, number: int, error: Exception) -> None:
        with self._lock:
            self._failed.add(number)
            hit = [want for want in self._wants if number in want.shards]
        self._tell(hit, error)

    def _tell(self, wants: list[Want], error: Exception | None) -> None:
        """Answer those that have no answer yet."""
        with self._lock:
            wants = [want for want in wants if not want.told]
            for want in wants:
                want.told = True
        for want in wants:
            want.tell(error)
