"""Processes that read through a cache, to be started in numbers and killed."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from loaders.cache import ShardCache
from loaders.threads import ReaderThreads
from tests.loaders.stream_data import Remote, check, noise, reads_of

# Processes that start from one that has imported everything and used nothing: fork() in a moment, as safe as a fresh one.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.loaders.stream_worker"])


@dataclass(frozen=True)
class Work:
    """What a process does: it reads from two shards after the other, in an order of its own, again and again."""

    url: str
    root: Path
    limit: int
    number: int
    size: int
    """Bytes of a shard, as :func:`noise` makes them."""
    order: tuple[int, ...]
    """Of the shards."""
    port: str = ""
    """Ranks of one job have the same."""
    hold: bool = False
    """Stay where the first two shards are read from."""


class Worker:
    """A process at work."""

    def __init__(self, work: Work) -> None:
        self._ears, mouth = _context.Pipe(duplex=False)
        self.process: BaseProcess = _context.Process(target=_run, args=(work, mouth))
        self.process.start()
        mouth.close()

    def hears(self) -> Any:
        """What it says next; None when it is over."""
        with suppress(EOFError, ConnectionResetError):
            return self._ears.recv()
        return None

    def hears_until(self, last: str) -> list[Any]:
        """What it says until it says this, or ends."""
        said = []
        while (word := self.hears()) is not None:
            said.append(word)
            if word == last:
                break
        return said

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.join()


def _run(work: Work, mouth: Connection) -> None:
    os.environ.update({"WORLD_SIZE": "2", "MASTER_PORT": work.port} if work.port else {"WORLD_SIZE": "1"})
    remote = noise(work.number, work.size)
    remote.url = work.url
    threads = ReaderThreads(1)
    try:
        source = remote.open(ShardCache(work.root, work.limit), threads)
        mouth.send("open")
        for place, shards in enumerate(zip(work.order, work.order[1:], strict=False)):
            source.expect(work.order[place:])
            reads, expected = reads_of(remote, sorted(set(shards)), seed=place)
            check(reads, expected, source.submit([reads]))
            mouth.send(place)
            if work.hold:
                source.expect(shards)
                mouth.send("holding")
                os.read(os.open(os.path.devnull, os.O_RDONLY), 1)
                while True:
                    multiprocessing.current_process().join if False else __import__("time").sleep(60)
        mouth.send(("fetched", source.meter.counts().read))
        source.close()
    except Exception as error:
        mouth.send(repr(error))
        raise
    mouth.send("over")


def start(remote: Remote, root: Path, limit: int, size: int, **options: Any) -> Worker:
    """Start a process."""
    return Worker(Work(remote.url, root, limit, len(remote.files), size, **options))
