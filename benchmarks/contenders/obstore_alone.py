"""obstore without a loader: what the storage and the link between give at best."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from queue import SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import obstore
from obstore.store import S3Store

from loaders.ranges.link import measure
from loaders.ranges.spans import join
from sharding.format import SAMPLE_BYTES, open_shards
from sharding.storage import place_at

PLANNED = 1 << 14  # crops drawn beforehand; they come round again and again
BATCH = 96  # tracks whose crops may share a request
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Call:
    """What is asked for by one call."""

    name: str
    """Of the shard."""
    begins: tuple[int, ...]
    lengths: tuple[int, ...]
    crops: int
    """That come by it."""

    def checked(self, data: Sequence[obstore.Bytes]) -> int:
        """The number of crops, if all bytes came."""
        assert tuple(map(len, data)) == self.lengths
        return self.crops


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


def _plan(url: str, crop_frames: int, style: str) -> list[Call]:
    """Two crops of each track in batches of different tracks, as requests of a style."""
    tracks = open_shards(url).tracks(("train",))
    size, rng = crop_frames * SAMPLE_BYTES, np.random.default_rng(0)
    gap = -size  # nothing is joined
    if "joined" in style:  # as PairLoader does: by a short measurement
        sizes = {shard.name: shard.bytes for shard in open_shards(url).manifest.shards}
        gap = measure(place_at(url), tracks.shard_names, [sizes[name] for name in tracks.shard_names]).gap()
    calls: list[Call] = []
    batch = min(BATCH, len(tracks.frames))
    for _ in range(PLANNED // (2 * batch)):
        chosen = np.repeat(rng.permutation(len(tracks.frames))[:batch], 2)
        starts = rng.integers(0, tracks.frames[chosen] - crop_frames + 1)
        offsets = tracks.pcm_offset[chosen] + SAMPLE_BYTES * starts
        spans = join(tracks.shard[chosen].astype(np.int64), offsets, size, gap)
        names = [tracks.shard_names[number] for number in spans.shard.tolist()]
        crops = np.diff(spans.first).tolist()
        of_one = [
            Call(name, (begin,), (end - begin,), number)
            for name, begin, end, number in zip(names, spans.begin.tolist(), spans.end.tolist(), crops, strict=True)
        ]
        if style == "get_ranges_async":
            calls += _together(of_one)
        else:
            calls += [of_one[number] for number in rng.permutation(len(of_one))]
    return calls


def _together(calls: Sequence[Call], most: int = 32) -> Iterator[Call]:
    """Those of the same shard as one call."""
    for name, same in groupby(calls, key=lambda call: call.name):
        several = list(same)
        for at in range(0, len(several), most):
            some = several[at : at + most]
            begins, lengths = (tuple(each) for each in zip(*((c.begins[0], c.lengths[0]) for c in some), strict=True))
            yield Call(name, begins, lengths, sum(call.crops for call in some))


def crops(url: str, crop_frames: int, style: str, in_flight: int) -> Iterator[int]:
    """Two random crops of every track of a batch, fetched and dropped, so many calls under way all the time.

    obstore.get_range in threads, get_range_async in one event loop, or there get_ranges_async of up to 32 crops of a
    shard with coalesce=0; joined: crops that lie close come by one request, as PairLoader's do.
    """
    plan, store = _plan(url, crop_frames, style), _store(url)

    if style.startswith("get_range_async"):

        async def fetch(call: Call) -> int:
            data = await obstore.get_range_async(store, call.name, start=call.begins[0], length=call.lengths[0])
            return call.checked([data])

        counts = _in_a_loop(plan, in_flight, fetch)
    elif style == "get_ranges_async":

        async def fetch_several(call: Call) -> int:
            starts, lengths = call.begins, call.lengths
            data = await obstore.get_ranges_async(store, call.name, starts=starts, lengths=lengths, coalesce=0)
            return call.checked(data)

        counts = _in_a_loop(plan, in_flight, fetch_several)
    else:

        def fetch_alone(call: Call) -> int:
            data = obstore.get_range(store, call.name, start=call.begins[0], length=call.lengths[0])
            return call.checked([data])

        counts = _in_threads(plan, in_flight, fetch_alone)
    return _in_pairs(counts)


def _in_pairs(counts: Iterator[int]) -> Iterator[int]:
    left = 0
    for number in counts:
        pairs, left = divmod(left + number, 2)
        yield pairs


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
