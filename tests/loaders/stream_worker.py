"""Processes that read through a cache, to be started in numbers and killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from loaders.cache.store import ShardCache
from loaders.reading.threads import ReaderThreads
from tests.loaders.stream_data import check, noise, reads_of

# They start from a process that has imported everything and used nothing: as quick as fork(), as safe as a fresh one.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.loaders.stream_worker"])


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a process does: it reads from two neighbours of its order at a time."""

    url: str
    """Where the shards are: so many, of so many bytes, as :func:`noise` makes them."""
    root: Path
    """Of the cache."""
    limit: int
    """Of the cache."""
    number: int
    size: int
    order: tuple[int, ...]
    """Of the shards."""
    port: str = ""
    """Ranks of one job have the same."""
    stay: bool = False
    """Read once, then expect the whole order and wait to be told to go on."""
    dies: tuple[str, int] = ("", 0)
    """Kill -9 before the n-th call, counted from 1, of a function of the file system."""


class Worker:
    """A process at work."""

    def __init__(self, work: Work) -> None:
        self._line, other = _context.Pipe()
        self.process: BaseProcess = _context.Process(target=_run, args=(work, other))
        self.process.start()
        other.close()

    def hear(self, last: object) -> list[Any]:
        """What it says until it says this, or ends."""
        said: list[Any] = []
        with suppress(EOFError, ConnectionResetError):
            while last not in said:
                said.append(self._line.recv())
        return said

    def go_on(self) -> None:
        """Tell one that stays."""
        self._line.send("go on")

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.join()

    def end(self) -> list[Any]:
        """Wait for the end; what it said until then."""
        said = self.hear("over")
        self.process.join()
        return said


def _die(owner: Any, function: str, call: int) -> None:
    """Die before a call of a function."""
    original, calls = getattr(owner, function), count(1)

    def replaced(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, function, replaced)


def _run(work: Work, line: Connection) -> None:
    if work.dies[0]:
        owner, _, function = work.dies[0].partition(".")
        _die({"os": os, "Path": Path}[owner], function, work.dies[1])
    os.environ.update({"WORLD_SIZE": "2" if work.port else "1", "MASTER_PORT": work.port})
    remote = noise(work.number, work.size)
    remote.url = work.url
    threads = ReaderThreads(1)
    try:
        source = remote.open(ShardCache(work.root, work.limit), threads)
        line.send("open")
        for step, shards in enumerate(zip(work.order, work.order[1:], strict=False)):
            source.expect(work.order[step:])
            reads, expected = reads_of(remote, sorted(set(shards)), seed=step)
            check(reads, expected, source.submit([reads]))
            line.send(step)
            if work.stay and step == 0:
                source.expect(work.order)
                line.recv()
        source.close()
        line.send(("fetched", source.meter.counts().read))
    except Exception as error:
        line.send(repr(error))
        raise
    line.send("over")
