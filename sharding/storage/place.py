"""What recordings are read from and shards are written to: a folder, wherever it is."""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from clmr.errors import StorageError


class Writer(Protocol):
    """A file to write from front to end."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Append bytes."""


@dataclass(frozen=True)
class Version:
    """What a file is now: another one under the same name has another version."""

    size: int
    """Bytes."""
    tag: str | None
    """The store's tag (ETag) without quotes; the time of change where it gives none; None where it gives neither. Of a
    file on a disk, its number and time of change."""


@dataclass(frozen=True)
class Piece:
    """A range of a file, and what the file was when it came."""

    data: bytes | memoryview
    """Fewer bytes than asked for where the file ends."""
    version: Version


Pause = Callable[[float], None]
"""Waits so many seconds before a request is repeated. It may raise instead, to give up."""


@dataclass(frozen=True)
class Listing:
    """Every file below a folder. All names are relative to it, with ``/``, in sorted order."""

    files: tuple[str, ...]
    """Links that lead nowhere included."""
    closed: tuple[str, ...] = ()
    """Folders that cannot be listed."""


class Place(ABC):
    """A folder of files, on this machine's file systems or below a prefix of a bucket.

    Names are relative to it, with ``/``. It can be sent to another process; connections are made where they are used.

    Raises:
        FileNotFoundError: no such file; its ``filename`` is the address.
        OSError: the system refuses it (permissions, a full disk); likewise.
        StorageError: an object store does not answer, refuses the credentials, or answers wrongly.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The folder as the user wrote it, for messages; it never holds a credential."""

    @property
    def root(self) -> Path | None:
        """Where the folder is, on a file system; None in a bucket."""
        return None

    def address(self, name: str) -> str:
        """A file's full name, for messages."""
        return f"{self.name.rstrip('/')}/{name}"

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Bytes of many files, by few requests; those that are not there are left out."""
        listed = {folder: self.files(folder) for folder in dict.fromkeys(name.rpartition("/")[0] for name in names)}
        found = ((name, listed[name.rpartition("/")[0]].get(name.rpartition("/")[2])) for name in names)
        return {name: size for name, size in found if size is not None}

    def version(self, name: str) -> Version:
        """What a file is now."""
        size = self.size(name)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.address(name))
        return Version(size, None)

    def piece(self, name: str, begin: int, end: int, *, pause: Pause = time.sleep) -> Piece:
        """Bytes of a file from one position to another, by one request; it is repeated for 2 minutes where it may help.

        Args:
            name: of the file.
            begin: first byte.
            end: the byte after the last one; more than ``begin``.
            pause: waits before the request is repeated, or gives up.
        """
        version = self.version(name)
        with self.open(name) as file:
            file.seek(begin)
            return Piece(file.read(end - begin), version)

    def fetch(
        self, name: str, begin: int, end: int, version: Version, *, pause: Pause = time.sleep
    ) -> bytes | memoryview:
        """What :meth:`piece` gets, of this version of the file and whole.

        Raises:
            StorageError: the file was replaced, or fewer bytes came.
        """
        piece = self.piece(name, begin, end, pause=pause)
        if piece.version != version:
            raise StorageError(
                f"{self.address(name)}: was replaced while in use; start again with the file as it is now"
            )
        if len(piece.data) != end - begin:
            raise StorageError(f"{self.address(name)}: {len(piece.data)} bytes came instead of {end - begin}")
        return piece.data

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A file to read at any position."""

    @abstractmethod
    def files(self, folder: str) -> dict[str, int]:
        """Name and bytes of the files directly in a folder below this one ("" for this one); empty where it is none."""

    @abstractmethod
    def walk(self) -> Listing:
        """Every file, at any depth."""

    @abstractmethod
    def create(self, name: str) -> AbstractContextManager[Writer]:
        """A file to write. It appears whole, replacing an older one, when the context ends; not at all on an error."""

    def write(self, name: str, data: bytes) -> None:
        """Create a file of these bytes."""
        with self.create(name) as file:
            file.write(data)

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
