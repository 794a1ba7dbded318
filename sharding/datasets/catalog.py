"""What a data set hands to the planner: every recording it names, with its split, song and labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from clmr.errors import SourceError
from sharding.faults import Fault
from sharding.storage import Place


@dataclass(frozen=True, slots=True)
class Recording:
    """One track to attempt: a file, or several that are joined."""

    key: str
    """Its name in the shards, ``[0-9a-z_-]{1,64}``."""
    song_id: str
    """Recordings of one song never meet in a batch, and never stand in two splits."""
    split: str
    labels: tuple[str, ...]
    """In the order of the vocabulary."""
    parts: tuple[str, ...]
    """Its files, by their names below the source folder, joined in this order."""
    fault: Fault | None = None
    """Known before reading it: why it is left out."""
    sha1: str = ""
    """Of its one file, in hex, where the data set states it; a file of another content is left out."""

    @property
    def source(self) -> str:
        """Its files as text that is valid Unicode, one name per line."""
        return "\n".join(map(readable_name, self.parts))


def readable_name(name: str) -> str:
    r"""A file name as valid Unicode: bytes of it that are not UTF-8 become ``\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a recording's files without decoding them."""

    seconds: float = 0.0
    """The length that the header states; 0 where it states none."""
    bytes: int = 0
    """Of all its files; 0 where there is none."""


@dataclass(frozen=True)
class Request:
    """What is asked of a data set."""

    source: Place
    """Folder of the recordings and of whatever describes them."""
    seed: int = 0
    """Of splits that are drawn."""
    unit: str = "clip"
    """``song``: clips of one song are joined to one track; ``clip``: every file is a track."""
    variant: str = ""
    """Which of the data set's documented versions; empty for its usual one."""
    jobs: int = 1
    """Processes, where a catalog takes work."""


@dataclass(frozen=True)
class Catalog:
    """A data set, found and listed; nothing of it has been decoded."""

    dataset: str
    labels: tuple[str, ...]
    """The vocabulary, in the order of a label vector's columns."""
    recordings: tuple[Recording, ...]
    ignored: int
    """Files in the source folder that are not audio by their extension."""
    notes: tuple[str, ...] = ()
    """What looks wrong but may be meant, to be shown as warnings."""

    def __post_init__(self) -> None:
        twice = repeated(recording.key for recording in self.recordings)
        if twice is not None:
            sources = ", ".join(recording.source for recording in self.recordings if recording.key == twice)
            raise SourceError(f"two recordings have the key {twice}: {sources}; rename one of them")


def check_count(where: str, found: int, published: int, what: str) -> tuple[str, ...]:
    """A note where an annotation has another number of rows than the published one."""
    if found == published:
        return ()
    return (f"{where} has {found:,} {what}, the published one has {published:,}: unless this is meant, get it again",)


def repeated(names: Iterable[str]) -> str | None:
    """A name that occurs more than once, or None."""
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    return name if count > 1 else None
