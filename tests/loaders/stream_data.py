"""Shards of noise on a web server that counts requests and fails as a test wants it to."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from loaders.cache.store import ShardCache
from loaders.cache.stream import StreamSource
from loaders.reading.slabs import Slab
from loaders.reading.source import Reads
from loaders.reading.threads import ReaderThreads
from sharding.storage import place_at
from tests.servers.web import Quiet, serving

CROP = 500  # samples; the bytes of a row are twice that


@dataclass
class Remote:
    """Shards, and the server they are on."""

    files: dict[str, bytes]
    """Content by name; a test may change it."""
    url: str = ""
    hashes: tuple[str, ...] = ()
    """As the manifest says."""
    requests: Counter[str] = field(default_factory=Counter)
    """Number of requests, by method and name, such as ``GET 3.tar``."""
    tag: str = "1"
    """The ETag of everything."""
    delay: Callable[[str], float] = lambda _: 0.0
    """Seconds before a range is sent, by name."""
    status: Callable[[str], int] = lambda _: 0
    """What to answer instead, by name."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(self.files[name]) for name in self.names)

    def fetched(self) -> dict[str, int]:
        """How often each shard's first byte was sent."""
        return {name: self.requests[f"GET {name} from 0"] for name in self.names}

    def open(self, cache: ShardCache, threads: ReaderThreads, *, at_once: int = 2, requests: int = 4) -> StreamSource:
        """A source of these shards."""
        place = place_at(self.url)
        return StreamSource(
            place,
            self.names,
            self.sizes,
            self.hashes,
            cache=cache,
            threads=threads,
            at_once=at_once,
            requests=requests,
        )


def noise(number: int = 6, size: int = 100_000) -> Remote:
    """Shards of so many bytes."""
    rng = np.random.default_rng(number)
    files = {f"{shard}.tar": rng.bytes(size + shard) for shard in range(number)}
    remote = Remote(files)
    remote.hashes = tuple(hashlib.sha256(files[name]).hexdigest() for name in remote.names)
    return remote


@contextmanager
def served(remote: Remote) -> Iterator[Remote]:
    """Serve the shards."""

    class Shards(Quiet):
        def handle(self) -> None:
            with suppress(ConnectionError):  # of a process that was killed
                super().handle()

        def get(self) -> None:
            name = self.path[1:]
            if name:  # the folder itself is asked for once, to see whether the server is there
                remote.requests[f"{self.command} {name}"] += 1
            data = remote.files.get(name)
            status = remote.status(name) or (404 if data is None else 0)
            if status or data is None:
                self.reply(status)
                return
            tag = f'"{remote.tag}"'
            if "Range" not in self.headers:
                self.reply(200, data, ETag=tag)
                return
            begin, end = self.wanted(len(data))
            remote.requests[f"{self.command} {name} from {begin}"] += 1
            time.sleep(remote.delay(name))
            data = remote.files[name]
            self.reply(206, data[begin:end], ETag=tag, Content_Range=f"bytes {begin}-{end - 1}/{len(data)}")

        head = get

    with serving(Shards) as url:
        remote.url = url
        yield remote


def reads_of(remote: Remote, shards: Sequence[int], count: int = 8, seed: int = 0) -> tuple[Reads, list[bytes]]:
    """Random reads from some shards, each at least once, and what they must give."""
    rng = np.random.default_rng(seed)
    count = max(count, len(shards))
    shard = np.concatenate([np.array(shards), rng.choice(shards, count - len(shards))]).astype(np.int64)
    slab = Slab((count, 1, CROP), pinned=False)
    size = 2 * CROP
    offset = np.array([rng.integers(remote.sizes[number] - size + 1) for number in shard], dtype=np.int64)
    expected = [remote.files[remote.names[n]][at : at + size] for n, at in zip(shard, offset, strict=True)]
    return Reads(slab, rng.permutation(count), shard, offset), expected


def check(reads: Reads, expected: list[bytes], futures: list[Future[None]]) -> None:
    """Wait for reads and compare every byte."""
    for future in futures:
        future.result(60)
    assert [reads.slab.crops[row].tobytes() for row in reads.row] == expected


def size_of(root: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for path in root.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def until(condition: Callable[[], object]) -> None:
    """Wait; what never comes true ends the run."""
    while not condition():
        time.sleep(0.005)


@contextmanager
def forked(work: Callable[[], str]) -> Iterator[str]:
    """What work gives in a forked child, which then stays, with copies of all descriptors, and is killed at the end."""
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        os.write(tell, (work() + "\n").encode())
        time.sleep(600)
        os._exit(0)
    try:
        os.close(tell)
        with os.fdopen(told) as ears:
            yield ears.readline().rstrip("\n")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def leave(descriptors: Sequence[int]) -> None:
    """Part with descriptors as a killed process does: without unlocking, and the numbers stay in use."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)
