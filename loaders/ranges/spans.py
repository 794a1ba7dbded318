"""Which pieces of shards come by one request: those that lie so close that the bytes between cost less than another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loaders.order.epochs import Integers

LARGEST = 8 << 20
"""Most bytes of one request, where it is for several pieces."""


@dataclass(frozen=True, eq=False)
class Spans:
    """Requests, and the pieces that each brings."""

    order: Integers
    """Pieces by shard and position, shape ``[n]``."""
    first: Integers
    """Where in ``order`` each request's pieces begin, and at last ``n``: shape ``[m + 1]``."""
    shard: Integers
    """Shape ``[m]``."""
    begin: Integers
    """First byte, shape ``[m]``."""
    end: Integers
    """The byte after the last one, shape ``[m]``."""


def join(shard: Integers, offset: Integers, size: int, gap: int, largest: int = LARGEST) -> Spans:
    """Join pieces to requests, as few as the limits allow.

    Args:
        shard: of each piece, shape ``[n]``.
        offset: its first byte, shape ``[n]``.
        size: bytes of a piece.
        gap: most bytes between two pieces of a request; they may also overlap.
        largest: most bytes of a request for several pieces.
    """
    order = np.lexsort((offset, shard))
    shard, begin = shard[order], offset[order]
    end = begin + size  # rises with begin, for all pieces are equally long
    opens = np.ones(len(order), dtype=np.bool_)
    opens[1:] = (shard[1:] != shard[:-1]) | (begin[1:] - end[:-1] > gap)
    while True:
        first = np.flatnonzero(opens)
        request = np.cumsum(opens) - 1
        beyond = np.flatnonzero(end - begin[first][request] > largest) if len(first) else first
        beyond = beyond[~opens[beyond]]
        if not len(beyond):
            break
        # Of every request that is too long, the first piece that does not fit any more opens another one.
        _, earliest = np.unique(request[beyond], return_index=True)
        opens[beyond[earliest]] = True
    last = np.append(first[1:], len(order)) - 1 if len(first) else first
    return Spans(order, np.append(first, len(order)), shard[first], begin[first], end[last])
