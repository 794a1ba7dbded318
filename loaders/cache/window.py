"""Which shards are to be in the cache: what batches wait for, then what comes next, as far as the room goes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from loaders.cache.folder import charge


@dataclass(eq=False)
class Want:
    """Shards that are needed together, from now until it is over."""

    shards: list[int]
    """In the order of their expected use."""
    ready: Callable[[Exception | None], None] = field(repr=False)
    """Called once, when all of them are held or one cannot be had."""
    told: bool = False
    """Whether it is answered: they are being read from."""

    def tell(self, error: Exception | None) -> None:
        """Answer it, and forget who asked."""
        ready, self.ready = self.ready, _ignore
        ready(error)

    def forget(self) -> None:
        """Nobody asks any more."""
        self.ready = _ignore


def _ignore(_: Exception | None) -> None:
    """Nobody is to be told."""


def rank(wants: Iterable[Want], expected: Iterable[int]) -> tuple[frozenset[int], list[int]]:
    """Shards by urgency.

    Args:
        wants: in the order in which they came.
        expected: shards that will be wanted, in the order of their first use.

    Returns:
        Those that must not be let go, because they are being read from or the oldest batch that waits needs them; and
        all shards, those first.
    """
    wants = list(wants)
    reading = [want for want in wants if want.told]
    waiting = [want for want in wants if not want.told]
    order: dict[int, None] = {}
    for want in (*reading, *waiting[:1]):
        order.update(dict.fromkeys(want.shards))
    urgent = frozenset(order)
    for want in waiting[1:]:
        order.update(dict.fromkeys(want.shards))
    order.update(dict.fromkeys(expected))
    return urgent, list(order)


def window(order: Iterable[int], urgent: Collection[int], sizes: Sequence[int], share: int, most: int) -> list[int]:
    """The first shards of an order: all that are urgent, others while the room lasts.

    Args:
        order: of the shards, those that are urgent first.
        urgent: these of them.
        sizes: bytes of every shard.
        share: bytes of the cache that they may take together.
        most: shards, likewise.
    """
    chosen: list[int] = []
    used = 0
    for number in order:
        used += charge(sizes[number])
        if number not in urgent and (used > share or len(chosen) >= most):
            break
        chosen.append(number)
    return chosen


def yielding(chosen: Sequence[int], urgent: Collection[int], held: Collection[int]) -> list[int]:
    """A window without the held shard that is used last, for somebody who needs the room now."""
    last = next((number for number in reversed(chosen) if number in held and number not in urgent), None)
    return [number for number in chosen if number != last]
