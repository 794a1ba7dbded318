"""Who does the work: an executor in the sense of concurrent.futures, of this machine's processes or of a Dask cluster.

Whichever it is, one call of :func:`sharding.write.write_shard` is one unit of work, and its result one ShardResult.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from sharding.write import ShardJob, ShardResult

POLL_SECONDS = 0.2
Progress = Callable[[int, int], None]
"""Hears, a few times a second, how many recordings were attempted and samples written so far."""


def run_jobs(jobs: Sequence[ShardJob], processes: int, scheduler: str, progress: Progress) -> None:
    """Write shards.

    Args:
        jobs: what to write.
        processes: of this machine, where there is no scheduler.
        scheduler: address of a Dask scheduler, such as ``tcp://node-1:8786``, whose workers do the work.
        progress: hears of it.

    Raises:
        ClmrError: a worker was killed. Every finished shard stays, and no other file.
    """
    if scheduler:
        from sharding.cluster import run_on_cluster

        run_on_cluster(jobs, scheduler, progress)
    else:
        from sharding.pool import run_here

        run_here(jobs, processes, progress)


def completed(waiting: set[Future[ShardResult]], poll: Callable[[], None]) -> Iterator[Future[ShardResult]]:
    """Futures as they complete, with a call of ``poll`` a few times a second."""
    while waiting:
        done, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
        poll()
        yield from done
