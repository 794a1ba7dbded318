"""Shards written by the workers of a Dask cluster, through the interface of concurrent.futures.

The cluster is the user's own (dask-jobqueue, dask-mpi, dask-kubernetes ...). Its workers see the same files or buckets,
and run the same versions of the decoder: a worker that does not is refused, for its bytes would be others. A worker
that dies is replaced by Dask, and its shard is written by another one.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from clmr.errors import ClmrError, ConfigError
from sharding.decode import decoder_versions
from sharding.engine import Progress, completed
from sharding.write import ShardJob, ShardResult, write_shard

CONNECT_SECONDS = 15
PATIENCE_SECONDS = 10


def run_on_cluster(jobs: Sequence[ShardJob], scheduler: str, progress: Progress) -> None:
    """Write shards on the workers of a Dask scheduler.

    Ctrl-C takes back what no worker has begun; a shard in work is finished, and kept.

    Raises:
        ConfigError: no Dask here, no scheduler there, or a worker with another decoder.
        ClmrError: several workers died over one shard, or the connection was lost.
    """
    results: list[ShardResult] = []
    begun, told = time.monotonic(), False

    def poll() -> None:
        nonlocal told
        if not results and not told and time.monotonic() > begun + PATIENCE_SECONDS:
            told = True
            if not workers():
                tqdm.write(f"no worker has joined {scheduler} yet; waiting", file=sys.stderr)
        progress(sum(result.attempted for result in results), sum(result.samples for result in results))

    with _executor(scheduler) as (executor, workers):
        running = {executor.submit(_write, job): job for job in jobs}
        try:
            for done in completed(set(running), poll):
                error = CancelledError() if done.cancelled() else done.exception()
                if error is not None:
                    raise _explained(error, running[done], scheduler)
                result = done.result()
                if running[done].root.size(f"{result.stem}.parquet") is None:
                    raise _elsewhere(running[done], scheduler)
                results.append(result)
        finally:
            for future in running:
                future.cancel()
    poll()


@contextmanager
def _executor(scheduler: str) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """The executor, and what tells how many workers there are."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--scheduler needs Dask: pip install 'clmr[cluster]', or pip install distributed") from error
    try:
        for logger in ("distributed.client", "distributed.core", "distributed.comm"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)  # what they have to say, an error of ours says
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler}; give its address, such as tcp://node-1:8786"
        ) from error
    with client:
        yield client.get_executor(pure=False), lambda: len(client.scheduler_info()["workers"])


def _elsewhere(job: ShardJob, scheduler: str) -> ClmrError:
    return ClmrError(
        f"{job.root.address(job.shard.stem)}.parquet was written by a worker of {scheduler} and is not here: "
        f"mount {job.root.name} on all machines under the same path, or give a URL as --out"
    )


def _explained(error: BaseException, job: ShardJob, scheduler: str) -> BaseException:
    """An error that came from a worker, as one the user can act on."""
    if isinstance(error, (ClmrError, OSError)):
        return error
    if isinstance(error, CancelledError):
        return ClmrError(f"the connection to {scheduler} was lost; run the same command again to go on")
    return ClmrError(
        f"{job.root.address(job.shard.stem)}.tar could not be written on the cluster at {scheduler} "
        f"({type(error).__name__}: {error}); run the same command again to go on from the finished shards, or without "
        f"--scheduler, where a recording that makes the decoder crash is found and left out"
    )


def _write(job: ShardJob) -> ShardResult:
    _check_decoder(job.receipt)
    return write_shard(job, lambda _: None)


def _check_decoder(receipt: Mapping[str, Any]) -> None:
    for name, version in decoder_versions().items():
        if receipt[name] != version:
            raise ConfigError(
                f"a worker has {name} {version}, the build was started with {receipt[name]}: "
                f"install the same versions on all nodes (constraints.txt)"
            )
