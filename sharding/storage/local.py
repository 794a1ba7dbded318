"""Folders on this machine's file systems, network file systems included."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sharding.publish import publish
from sharding.storage.place import Listing, Pause, Piece, Place, Version


class LocalPlace(Place):
    """A folder by its path; it need not exist yet."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)

    def __getstate__(self) -> dict[str, Path]:
        """For another process, whose working folder may be another one."""
        return {"_root": self._root.absolute()}

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self._root)

    @property
    def root(self) -> Path:
        """The path."""
        return self._root

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def version(self, name: str) -> Version:
        """What a file is now."""
        return _version((self._root / name).stat())

    def piece(self, name: str, begin: int, end: int, *, pause: Pause = time.sleep) -> Piece:
        """Bytes of a file from one position to another."""
        with (self._root / name).open("rb") as file:
            file.seek(begin)
            return Piece(file.read(end - begin), _version(os.fstat(file.fileno())))

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self._root / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """A file to read at any position."""
        return (self._root / name).open("rb")

    def files(self, folder: str) -> dict[str, int]:
        """Name and bytes of the files directly in a folder; empty where it is none."""
        found: dict[str, int] = {}
        try:
            with os.scandir(self._root / folder) as scan:
                for entry in scan:
                    with suppress(FileNotFoundError):  # gone since, as the unfinished files of others go
                        if entry.is_file():
                            found[entry.name] = entry.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return dict(sorted(found.items()))

    def walk(self) -> Listing:
        """List the tree, following symbolic links; every folder is listed once, so loops of links end.

        A folder that lies in the tree and is also linked to is listed under its own name.
        """
        files: list[str] = []
        closed: list[str] = []
        listed: set[tuple[int, int]] = set()
        waiting: list[str] = [""]
        links: list[str] = []
        while waiting or links:
            if not waiting:  # folders of the tree first, then, in order, what links lead to
                links.sort(reverse=True)
                waiting.append(links.pop())
            folder = waiting.pop()
            try:
                status = (self._root / folder).stat()
                if (status.st_dev, status.st_ino) in listed:
                    continue
                listed.add((status.st_dev, status.st_ino))
                with os.scandir(self._root / folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:
                closed.append(folder)
                continue
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if _is_folder(entry):
                    (links if entry.is_symlink() else waiting).append(name)
                else:
                    files.append(name)
        return Listing(tuple(sorted(files)), tuple(sorted(closed)))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A file that appears, on the disk and whole, when the context ends."""
        with publish(self._root / name) as temporary, temporary.open("wb") as file:
            yield file

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        (self._root / name).unlink(missing_ok=True)


def _version(status: os.stat_result) -> Version:
    return Version(status.st_size, f"{status.st_ino}-{status.st_mtime_ns}")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
