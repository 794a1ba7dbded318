"""Where the bytes of crops come from: one interface for files, ranges of remote objects and a cache of shards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from loaders.order.epochs import Integers
from loaders.reading.meter import Meter
from loaders.reading.slabs import Slab


@dataclass(frozen=True, eq=False)
class Reads:
    """Pieces of shards, each as long as a row of the slab, and the rows they go to."""

    slab: Slab
    row: Integers
    """Rows of ``slab.crops``, shape ``[n]``; each at most once."""
    shard: Integers
    """Number of the shard in the source, shape ``[n]``."""
    offset: Integers
    """First byte in the shard, shape ``[n]``; the piece lies within the shard."""

    def __len__(self) -> int:
        return len(self.row)


class Source(ABC):
    """The shards of one data set, to be read from at any position by threads.

    Attributes:
        meter: counts what was asked for and what came.
        description: what people should know of it, in a few words; may be empty.
    """

    meter: Meter
    description: str = ""

    @abstractmethod
    def submit(self, reads: Sequence[Reads]) -> list[Future[None]]:
        """Start to fill rows of slabs; all are filled when every future has its result.

        Args:
            reads: of one batch, or of several that are wanted together, which may then share requests.

        Returns:
            Futures; they carry a ShardError or StorageError that names what could not be read. A future that did not
            start yet can be cancelled.
        """

    def expect(self, shards: Sequence[int]) -> None:  # noqa: B027 - most sources need no warning
        """Announce the shards that will be read, in the order of their first use.

        What was announced before and is missing here is not needed any more. A source that fetches whole shards fetches
        these ahead.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop reading and let go of files and connections."""
