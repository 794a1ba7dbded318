"""Folders in object stores and on web servers."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO

from clmr.errors import StorageError
from sharding.storage import objects
from sharding.storage.objects import Connection, UnlistableError
from sharding.storage.place import Listing, Pause, Piece, Place, Version
from sharding.storage.ranged import BLOCK, RANGE, RangedFile
from sharding.storage.sending import Sending
from sharding.storage.upload import Upload
from sharding.storage.urls import key_of, parse

ASKING = 64
"""Objects asked for at once where nothing can be listed."""


class ObjectPlace(Place):
    """A folder by its URL. To another process goes the URL alone, never a credential or a connection."""

    def __init__(self, url: str) -> None:
        self._at = parse(url)
        self._connection: Connection | None = None

    def __reduce__(self) -> tuple[type[ObjectPlace], tuple[str]]:
        """For another process, which makes its own connection."""
        return ObjectPlace, (self._at.url,)

    def __repr__(self) -> str:
        return f"ObjectPlace({self.name!r})"

    @property
    def name(self) -> str:
        """The URL as it was given."""
        return self._at.url

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where there is none."""
        return objects.size(self._at, *self._names(name))

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Bytes of many objects; those that are not there are left out.

        Where the folders cannot be listed (a web server, a bucket that lets everyone read but nobody list, an object
        that cannot be addressed), the objects are asked for one by one.
        """
        if self._at.kind != "http":
            with suppress(PermissionError, UnlistableError):
                return super().sizes(names)
        return self._ask_sizes(names)

    def _ask_sizes(self, names: Sequence[str]) -> dict[str, int]:
        waiting, over = iter(names), Event()
        answers: SimpleQueue[tuple[str, int | None] | Exception] = SimpleQueue()

        def ask() -> None:
            for name in waiting:  # of all threads
                if over.is_set():
                    return
                try:
                    answers.put((name, self.size(name)))
                except Exception as error:
                    answers.put(error)

        for _ in range(min(ASKING, len(names))):  # an executor would answer Ctrl-C after the last request
            Thread(target=ask, daemon=True).start()
        found = {}
        try:
            for _ in names:
                answer = answers.get()
                if isinstance(answer, Exception):
                    raise answer
                found[answer[0]] = answer[1]
        finally:
            over.set()
        return {name: size for name in names if (size := found[name]) is not None}

    def version(self, name: str) -> Version:
        """What an object is now."""
        return objects.version(self._at, *self._names(name))

    def piece(self, name: str, begin: int, end: int, *, pause: Pause = time.sleep) -> Piece:
        """Bytes of an object from one position to another, by one request.

        The connection is looked up once: what the environment says takes longer to compare than a range to ask for.
        """
        key, address = self._names(name)
        if self._connection is None:
            self._connection = objects.connect(self._at)
        return objects.get(self._connection, key, address, begin, end, pause)

    def read(self, name: str) -> bytes:
        """A whole object."""
        with self._ranged(name, RANGE) as file:
            return file.readall()

    def open(self, name: str) -> BinaryIO:
        """An object to read at any position: what it holds now, or a StorageError where it is replaced meanwhile."""
        return io.BufferedReader(self._ranged(name, BLOCK), BLOCK)

    def _ranged(self, name: str, first: int) -> RangedFile:
        key, address = self._names(name)
        connection = objects.connect(self._at)
        start = objects.get(connection, key, address, 0, first)

        def fetch(begin: int, end: int) -> memoryview:
            piece = objects.get(connection, key, address, begin, end)
            if piece.version != start.version:
                raise StorageError(f"{address}: was replaced while it was read; run the same command again")
            if len(piece.data) != end - begin:
                raise StorageError(f"{address}: the server sent {len(piece.data)} bytes instead of {end - begin}")
            return memoryview(piece.data)

        return RangedFile(fetch, start.version.size, memoryview(start.data))

    def files(self, folder: str) -> dict[str, int]:
        """Name and bytes of the objects directly in a folder; empty where there are none."""
        prefix, address = self._folder(folder)
        found, _ = objects.files(self._at, prefix, address)
        return dict(sorted(_below(prefix, found).items()))

    def walk(self) -> Listing:
        """Every object below; those without a byte called ``folder/``, which some tools make, are none.

        A folder with an object that cannot be addressed (``//`` or ``..`` in its name) counts as one that cannot be
        listed, because obstore lists nothing of it.
        """
        prefix, address = self._folder("")
        closed: list[str] = []
        try:
            found = objects.walk(self._at, prefix, address)
        except UnlistableError:
            found, closed = self._walk_folders()
        names = _below(prefix, found)
        empty = [name for name, size in names.items() if not size]
        if empty:  # a listing shows "folder/" as "folder"; asked for by that name it is not there
            there = self._ask_sizes(empty)
            for name in empty:
                if name not in there:
                    del names[name]
        return Listing(tuple(sorted(names)), tuple(sorted(closed)))

    def _walk_folders(self) -> tuple[dict[str, int], list[str]]:
        """What :func:`objects.walk` gives, folder by folder, and the folders that cannot be listed."""
        found: dict[str, int] = {}
        closed: list[str] = []
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            prefix, address = self._folder(folder)
            try:
                here, folders = objects.files(self._at, prefix, address)
            except UnlistableError:
                if not folder:
                    raise
                closed.append(folder)
                continue
            found |= here
            waiting += _below(self._at.prefix, dict.fromkeys(folders, 0))
        return found, closed

    @contextmanager
    def create(self, name: str) -> Iterator[Upload]:
        """An object to write; it is sent while it is written, and checked to be there when the context ends."""
        key, address = self._names(name)
        if self._at.kind == "http":
            raise StorageError(f"{address}: a web server takes no files; write to a folder or a bucket")
        with Upload(Sending(self._at, key, address)) as upload:
            yield upload
        there = self.size(name)
        if there != upload.position:
            with suppress(OSError, StorageError):
                self.remove(name)
            raise StorageError(
                f"{address}: {upload.position} bytes were sent, and the server holds {there or 0}; "
                "it was removed, run the same command again"
            )

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        objects.remove(self._at, *self._names(name))

    def _names(self, name: str) -> tuple[str, str]:
        """Key and address of an object."""
        address = self.address(name)
        return key_of(self._at.prefix, name, address), address

    def _folder(self, folder: str) -> tuple[str, str]:
        """Key and address of a folder that is to be listed."""
        if self._at.kind == "http":
            raise StorageError(
                f"{self.name}: the files of a web server cannot be listed; copy them to a folder or a bucket"
            )
        return self._names(folder) if folder else (self._at.prefix, self.name)


def _below(prefix: str, found: dict[str, int]) -> dict[str, int]:
    """What was listed, by its name below a folder; without the folder's own marker."""
    skip = len(prefix) + 1 if prefix else 0
    return {key[skip:]: size for key, size in found.items() if len(key) > skip}
