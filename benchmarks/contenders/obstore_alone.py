"""obstore without a loader: what the storage and the link between give at best."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import obstore
from obstore.store import S3Store

from sharding.format import SAMPLE_BYTES, open_shards

PLANNED = 1 << 16  # crops drawn beforehand; they come round again and again
MEBIBYTE = 1 << 20
Call = tuple[str, list[int]]
"""A shard, and the first bytes of some crops in it."""


def _store(url: str) -> S3Store:
    """The folder of shards, with the address and the keys of the environment."""
    address = urlsplit(url)
    return S3Store(
        address.netloc,
        prefix=address.path.strip("/"),
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def _plan(url: str, crop_frames: int, together: int) -> list[Call]:
    """Crops of the tracks; those of a call are of one shard."""
    tracks = open_shards(url).tracks(("train",))
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(tracks.frames), PLANNED)
    starts = rng.integers(0, tracks.frames[chosen] - crop_frames + 1)
    offsets = tracks.pcm_offset[chosen] + SAMPLE_BYTES * starts
    calls = []
    for number, name in enumerate(tracks.shard_names):
        here = offsets[tracks.shard[chosen] == number].tolist()
        calls += [(name, here[at : at + together]) for at in range(0, len(here) - together + 1, together)]
    return [calls[number] for number in rng.permutation(len(calls))]


def crops(url: str, crop_frames: int, style: str, in_flight: int) -> Iterator[int]:
    """Random crops of the tracks, fetched and dropped, so many calls under way all the time.

    obstore.get_range in threads, get_range_async in one event loop, or there get_ranges_async of 32 crops of a shard
    with coalesce=0.
    """
    size = crop_frames * SAMPLE_BYTES
    together = 32 if style == "get_ranges_async" else 1
    plan, store = _plan(url, crop_frames, together), _store(url)

    def check(data: Sequence[obstore.Bytes]) -> int:
        assert all(len(piece) == size for piece in data)
        return len(data)

    if style == "get_range":
        counts = _in_threads(plan, in_flight, lambda call: check([_one(store, call, size)]))
    else:

        async def fetch(call: Call) -> int:
            name, begins = call
            if style == "get_range_async":
                return check([await obstore.get_range_async(store, name, start=begins[0], length=size)])
            lengths = [size] * len(begins)
            return check(await obstore.get_ranges_async(store, name, starts=begins, lengths=lengths, coalesce=0))

        counts = _in_a_loop(plan, in_flight, fetch)
    return _in_pairs(counts)


def _in_pairs(counts: Iterator[int]) -> Iterator[int]:
    left = 0
    for number in counts:
        pairs, left = divmod(left + number, 2)
        yield pairs


def _one(store: S3Store, call: Call, size: int) -> obstore.Bytes:
    return obstore.get_range(store, call[0], start=call[1][0], length=size)


def _endless(plan: Sequence[Call]) -> Iterator[Call]:
    while True:
        yield from plan


def _in_threads(plan: Sequence[Call], in_flight: int, fetch: Callable[[Call], int]) -> Iterator[int]:
    """Crops that came, as often as one comes; a thread goes on when its last one was taken."""
    to_do: SimpleQueue[Call | None] = SimpleQueue()
    came: SimpleQueue[int | Exception] = SimpleQueue()

    def work() -> None:
        while (call := to_do.get()) is not None:
            try:
                came.put(fetch(call))
            except Exception as error:
                came.put(error)

    for _ in range(in_flight):
        Thread(target=work, daemon=True).start()
    calls = _endless(plan)
    for _ in range(in_flight):
        to_do.put(next(calls))
    try:
        while True:
            number = came.get()
            if isinstance(number, Exception):
                raise number
            to_do.put(next(calls))
            yield number
    finally:
        for _ in range(in_flight):
            to_do.put(None)


def _in_a_loop(
    plan: Sequence[Call], in_flight: int, fetch: Callable[[Call], Coroutine[Any, Any, int]], at_once: int = 64
) -> Iterator[int]:
    """Crops that came, about ``at_once`` at a time; nothing is asked for while nobody waits for them."""
    loop, calls = asyncio.new_event_loop(), _endless(plan)
    came, enough = 0, loop.create_future()

    async def work() -> None:
        nonlocal came
        while True:
            number = await fetch(next(calls))
            came += number
            if came >= at_once and not enough.done():
                enough.set_result(None)

    def failed(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not enough.done():
            enough.set_exception(task.exception() or RuntimeError("it ended"))

    tasks = [loop.create_task(work()) for _ in range(in_flight)]
    for task in tasks:
        task.add_done_callback(failed)
    try:
        while True:
            loop.run_until_complete(enough)
            number, came, enough = came, 0, loop.create_future()
            yield number
    finally:  # obstore ends the interpreter with a crash where calls are still under way
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


def whole_shards(url: str, in_flight: int, part: int = 8 * MEBIBYTE) -> Callable[[], float]:
    """Every shard once, in parallel ranges of 8 MiB by obstore.get_range_async, dropped."""
    store = _store(url)
    shards = open_shards(url).manifest.shards

    def fetch_all() -> float:
        parts = [
            (shard.name, begin, min(begin + part, shard.bytes))
            for shard in shards
            for begin in range(0, shard.bytes, part)
        ]
        waiting = iter(parts)

        async def work() -> None:
            for name, begin, end in waiting:
                data = await obstore.get_range_async(store, name, start=begin, end=end)
                assert len(data) == end - begin

        async def everything() -> None:
            await asyncio.gather(*(work() for _ in range(in_flight)))

        begin = time.perf_counter()
        asyncio.run(everything())
        return sum(end - begin for _, begin, end in parts) / (time.perf_counter() - begin) / 1e6

    return fetch_all
