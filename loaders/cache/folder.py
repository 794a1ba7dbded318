"""What lies in a cache folder, and the lock under which all of it appears and disappears.

    <cache>/.clmr-cache          marks the folder as a cache; who changes what is in it holds a lock on this file
    <cache>/<key>.shard          a shard, whole and checked; its users hold a shared lock on it
    <cache>/<key>.part           a shard on its way, of full size from the start; who fetches it holds a lock on it
    <cache>/<key>.json           where it came from
    <cache>/jobs/                who uses the cache (loaders/cache/jobs.py)

Nothing here is ever waited for that a killed process could leave behind: locks end with their process, and a part
without a lock is rubbish.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clmr.errors import ConfigError, StorageError
from loaders.cache.locks import ALONE, close_locked, is_held, open_locked

MARK = ".clmr-cache"
EXPLAINED = "The shards in this folder were copied here by clmr, which removes them when it needs the room.\n"
OWN = re.compile(r"([0-9a-f]{40})\.(shard|part|json)")
HARMLESS = {"lost+found"}  # at the root of a fresh file system
UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
NOTE_BYTES = 4096
"""Counted per shard beside its own size: its note, and a share of the folder."""


def charge(size: int) -> int:
    """What a shard of so many bytes takes of the cache's limit."""
    return size + NOTE_BYTES


def in_units(size: float) -> str:
    """Bytes, for people."""
    unit, length = next(((unit, length) for unit, length in UNITS if size >= length), UNITS[-1])
    return f"{size / length:,.4g} {unit}"


def size_option(size: int) -> str:
    """A size that is at least so many bytes, as an option takes it."""
    return f"{-(-size // 2**20)}MiB"


@dataclass(frozen=True)
class RemoteShard:
    """One version of a shard, wherever it is."""

    url: str
    """Its full address, without a credential."""
    size: int
    """Bytes."""
    tag: str | None
    """The store's tag of this version."""
    sha256: str
    """What its bytes must hash to, 64 hex digits; shards of one address and size without a tag differ in it."""

    @property
    def key(self) -> str:
        """Its name in a cache, 40 hex digits."""
        text = json.dumps([self.url, self.size, self.tag, self.sha256])
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of the cache."""

    path: Path
    size: int
    """Bytes."""
    used: float
    """Last use, seconds since 1970: the time of its last change, which reading leaves alone and using sets."""


class CacheFolder:
    """A cache folder; made, and marked as one, where it is missing or empty.

    Raises:
        ConfigError: it holds other files and is not marked, or cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.mark = self.root / MARK
        self.jobs = self.root / "jobs"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = {path.name for path in self.root.iterdir()} - HARMLESS
            if foreign and MARK not in foreign:
                raise ConfigError(
                    f"{self.root} holds other files ({min(foreign)}) and is no cache of shards: "
                    "give --cache an empty folder"
                )
            if not foreign:  # the mark comes before anything else, so whoever sees more sees it too
                self.mark.write_text(EXPLAINED)
            self.jobs.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self.root} cannot be used as cache: {error.strerror}; give --cache another folder"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who changes the folder; for moments, never while something is fetched.

        Raises:
            StorageError: the folder was removed.
        """
        try:
            descriptor = open_locked(self.mark, ALONE, wait=True)
        except FileNotFoundError as error:
            raise StorageError(f"{self.root}: the cache was removed while in use; start again") from error
        except OSError as error:
            raise ConfigError(
                f"{self.root} cannot be used as a cache ({error.strerror}): give another folder with --cache"
            ) from error
        try:
            yield
        finally:
            close_locked(descriptor)

    def shard(self, key: str) -> Path:
        """Where a whole shard lies."""
        return self.root / f"{key}.shard"

    def part(self, key: str) -> Path:
        """Where a shard on its way lies."""
        return self.root / f"{key}.part"

    def write_note(self, shard: RemoteShard) -> None:
        """Note where a shard comes from."""
        self._note(shard.key).write_text(json.dumps({"url": shard.url, "size": shard.size, "tag": shard.tag}) + "\n")

    def url(self, key: str) -> str:
        """Where a shard came from; "" where that got lost."""
        try:
            return str(json.loads(self._note(key).read_text())["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _note(self, key: str) -> Path:
        return self.root / f"{key}.json"

    def entries(self) -> list[Entry]:
        """Shards and parts."""
        found: list[Entry] = []
        with os.scandir(self.root) as scan:
            for file in scan:
                match = OWN.fullmatch(file.name)
                if match and match[2] != "json":
                    with suppress(FileNotFoundError):  # somebody cleans up by hand
                        status = file.stat()
                        found.append(Entry(Path(file.path), status.st_size, status.st_mtime))
        return found

    def sweep(self) -> list[Entry]:
        """Remove what killed processes left behind; the shards, and the parts under way. Under the lock."""
        entries = self.entries()
        for entry in [entry for entry in entries if entry.path.suffix == ".part" and not is_held(entry.path)]:
            self.remove(entry.path.stem)
            entries.remove(entry)
        known = {entry.path.stem for entry in entries}
        for note in self.root.glob("*.json"):
            if OWN.fullmatch(note.name) and note.stem not in known:
                note.unlink(missing_ok=True)
        return entries

    def remove(self, key: str) -> None:
        """Remove a shard or its part, and its note. Under the lock."""
        for path in (self.shard(key), self.part(key), self._note(key)):
            path.unlink(missing_ok=True)
