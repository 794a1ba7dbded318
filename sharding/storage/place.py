"""What recordings are read from and shards are written to: a folder, wherever it is."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
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
    """The store's tag (ETag), or the file's number and time of change; None where a web server gives none."""


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

    def fetch(self, name: str, begin: int, end: int, version: Version) -> bytes | memoryview:
        """Bytes of a file from one position to another, both within it.

        Raises:
            StorageError: the file is no longer this version, or fewer bytes came.
        """
        if self.version(name) != version:
            raise StorageError(f"{self.address(name)}: was replaced while in use; start again")
        with self.open(name) as file:
            file.seek(begin)
            data = file.read(end - begin)
        if len(data) != end - begin:
            raise StorageError(f"{self.address(name)}: ends before byte {end}")
        return data

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
