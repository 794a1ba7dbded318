"""What a data set hands to the planner: every recording it names, with its split, song and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clmr.errors import SourceError
from sharding.faults import Fault


@dataclass(frozen=True)
class Recording:
    """One file to attempt."""

    key: str
    """Its name in the shards, ``[0-9a-z_-]{1,64}``."""
    song_id: str
    """Recordings of one song never meet in a batch, and never stand in two splits."""
    split: str
    labels: tuple[str, ...]
    """In the order of the vocabulary."""
    path: Path
    source: str
    """Its path below the source folder, as text that is valid Unicode."""
    fault: Fault | None = None
    """Known before reading it: why it is left out."""


@dataclass(frozen=True)
class Probe:
    """What is known of a recording's file without decoding it."""

    seconds: float = 0.0
    """The length that the header states; 0 where it states none."""
    bytes: int = 0
    """Size of the file; 0 where there is none."""


@dataclass(frozen=True)
class Catalog:
    """A data set, found and listed; nothing of it has been decoded."""

    dataset: str
    labels: tuple[str, ...]
    """The vocabulary, in the order of a label vector's columns."""
    recordings: tuple[Recording, ...]
    ignored: int
    """Files in the source folder that are not audio by their extension."""

    def __post_init__(self) -> None:
        twice = repeated(recording.key for recording in self.recordings)
        if twice is not None:
            sources = ", ".join(recording.source for recording in self.recordings if recording.key == twice)
            raise SourceError(f"two recordings have the key {twice}: {sources}; rename one of them")


def repeated(names: Iterable[str]) -> str | None:
    """A name that occurs more than once, or None."""
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    return name if count > 1 else None
