"""Decoding audio files as the sharder does, a few files ahead of the encoder, in threads.

Each thread decodes one file into a queue that holds some windows, and waits where that is full; the files come out in
their order. So memory depends neither on the length of a recording nor on their number: a file takes its own bytes
while it is read, and its queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Full, Queue
from threading import Event

from loaders.reading.threads import ReaderThreads
from sharding.decode import quantise, read_source, resampled
from sharding.faults import Fault, RecordingError
from sharding.opened import open_recording
from sharding.storage import Place
from train.embedding.windows import Grid, Pcm, cut

CHUNK = 8  # windows that are handed over at once
CHUNKS = 16  # that wait in a queue: 15 MB at 22.05 kHz
FILE_BYTES = 1 << 30  # of files that are read at a time, unless one alone has more
LOOK = 0.1  # seconds between a waiting thread's looks at whether all was given up


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    frames: int = 0
    """Samples at the encoder's rate."""
    windows: int = 0
    """0 where it was left out."""
    fault: str | None = None
    """Why it was left out, one of :class:`sharding.faults.Fault`."""


class GivenUpError(Exception):
    """Nobody wants the windows any more."""


Handed = Pcm | Outcome | BaseException


class DecodedFiles:
    """The windows of files, file after file; a context that stops its threads.

    Args:
        source: folder of the files.
        names: the files, in order.
        sizes: bytes of each.
        grid: where their windows lie.
        threads: files that are decoded at a time.
    """

    def __init__(self, source: Place, names: Sequence[str], sizes: Sequence[int], grid: Grid, threads: int) -> None:
        self.source, self.names, self.sizes, self.grid = source, names, sizes, grid
        self._threads = ReaderThreads(threads)
        self._stopped = Event()

    def __enter__(self) -> DecodedFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._threads.close()

    def __iter__(self) -> Iterator[Pcm | Outcome]:
        """Windows ``[n, window]`` of the first file, then its outcome, then those of the second, and so on.

        A file with a fault may have given windows before it: damage shows where it lies.

        Raises:
            SourceError: ffmpeg was stopped by somebody else.
        """
        ahead: deque[tuple[int, Queue[Handed]]] = deque()  # bytes and windows of the files under way
        begun = 0
        while begun < len(self.names) or ahead:
            while begun < len(self.names) and self._has_room([size for size, _ in ahead], self.sizes[begun]):
                ahead.append((self.sizes[begun], Queue(CHUNKS)))
                self._threads.submit(partial(self._decode, self.names[begun], ahead[-1][1]))
                begun += 1
            handed = ahead[0][1].get()
            if isinstance(handed, BaseException):
                raise handed
            yield handed
            if isinstance(handed, Outcome):
                ahead.popleft()

    def _has_room(self, ahead: Sequence[int], size: int) -> bool:
        return not ahead or (len(ahead) < self._threads.count and sum(ahead) + size <= FILE_BYTES)

    def _decode(self, name: str, queue: Queue[Handed]) -> None:
        """One file into its queue, whatever happens."""
        try:
            self._windows(name, queue)
        except GivenUpError:
            return
        except RecordingError as error:
            self._hand(queue, Outcome(fault=error.fault.value))
        except BaseException as error:
            self._hand(queue, error)

    def _windows(self, name: str, queue: Queue[Handed]) -> None:
        frames, silent = 0, True

        def blocks() -> Iterator[Pcm]:
            nonlocal frames, silent
            with open_recording(read_source(self.source, name)) as opened:
                for samples in resampled(opened, self.grid.sample_rate):
                    pcm, _ = quantise(samples)
                    frames += len(pcm)
                    silent = silent and not pcm.any()
                    yield pcm

        for windows in cut(blocks(), self.grid, CHUNK):
            self._hand(queue, windows)
        if frames < self.grid.window:
            raise RecordingError(Fault.TOO_SHORT)
        if silent:
            raise RecordingError(Fault.SILENT)
        self._hand(queue, Outcome(frames, self.grid.count(frames)))

    def _hand(self, queue: Queue[Handed], handed: Handed) -> None:
        while not self._stopped.is_set():
            try:
                return queue.put(handed, timeout=LOOK)
            except Full:
                continue
        raise GivenUpError
