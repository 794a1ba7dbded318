"""What of a published data set lies in the source folder: listed once, then asked as often as needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clmr.errors import SourceError
from sharding.datasets.catalog import Recording, readable_name
from sharding.datasets.tree import AUDIO_EXTENSIONS
from sharding.faults import Fault
from sharding.storage import Place

EXTENSIONS = tuple(AUDIO_EXTENSIONS)
TOLERATED = 0.1
"""Share of the audio files that may be missing before a download counts as half-finished."""


@dataclass(frozen=True)
class Inventory:
    """The files of a source folder. All names are relative to it, with ``/``."""

    source: Place
    expected: str
    """What should be there and where to get it, for messages."""
    audio: tuple[str, ...]
    """Files that are audio by their extension."""
    documents: tuple[str, ...]
    """Every other file."""
    names: frozenset[str]
    """Both."""
    closed: tuple[str, ...]
    """Folders that cannot be listed."""

    def fault(self, name: str) -> Fault | None:
        """Why a file cannot be read, as far as the listing tells."""
        if name in self.names:
            return None
        hidden = any(name.startswith(f"{folder}/") for folder in self.closed)
        return Fault.UNREADABLE if hidden else Fault.MISSING

    def find(self, file: str) -> str:
        """The document of this file name that lies highest; a name with folders matches the end of a path.

        Raises:
            SourceError: there is none.
        """
        found = self.seek(file)
        if found is None:
            raise SourceError(f"{self.source.name} holds no {file}; expected {self.expected}")
        return found

    def seek(self, file: str) -> str | None:
        """As :meth:`find`, or None."""
        found = [name for name in self.documents if name == file or name.endswith(f"/{file}")]
        return min(found, key=lambda name: (name.count("/"), name), default=None)

    def read(self, name: str) -> bytes:
        """A whole document.

        Raises:
            SourceError: it is not there: a link that leads nowhere.
        """
        try:
            return self.source.read(name)
        except FileNotFoundError as error:
            raise SourceError(f"{self.source.address(name)} is not there; expected {self.expected}") from error

    def most_common(self, pattern: re.Pattern[str]) -> tuple[str, ...] | None:
        """The groups that most of the audio files give which match the pattern; None where no file does.

        Of several with as many files the first one in order, so ``.mp3`` comes before ``.wav``.
        """
        matches = map(pattern.fullmatch, self.audio)
        counts = Counter(match.groups() for match in matches if match is not None)
        return min(counts, key=lambda groups: (-counts[groups], groups), default=None)

    def ignored(self, used: int) -> int:
        """How many documents are left when ``used`` of them have been read."""
        return len(self.documents) - used

    def refuse_half(self, recordings: Sequence[Recording], remedy: str, tolerated: float = TOLERATED) -> None:
        """Refuse a download that has most probably not been finished.

        Args:
            recordings: all that the annotation names.
            remedy: what to do about it.
            tolerated: share of them that may be missing; all of them never may.

        Raises:
            SourceError: more are missing, or none are named.
        """
        if not recordings:
            raise SourceError(f"{self.source.name}: the annotation names no recordings; {remedy}")
        missing = [recording for recording in recordings if recording.fault is Fault.MISSING]
        if missing and (len(missing) == len(recordings) or len(missing) > tolerated * len(recordings)):
            raise SourceError(
                f"{self.source.name}: {len(missing)} of {len(recordings)} audio files are missing, such as "
                f"{min(readable_name(name) for recording in missing for name in recording.parts)}; {remedy}"
            )


def take_inventory(source: Place, expected: str) -> Inventory:
    """List a source folder.

    Raises:
        SourceError: there is no such folder, it cannot be listed, or nothing is in it.
    """
    if source.root and not source.root.is_dir():
        raise SourceError(f"{source.name} is not a folder; expected {expected}")
    listing = source.walk()
    if "" in listing.closed:
        raise SourceError(f"{source.name} cannot be listed: permission denied; change its mode or run as its owner")
    if not listing.files and not listing.closed:
        raise SourceError(f"{source.name} is empty; expected {expected}")
    audio: list[str] = []
    documents: list[str] = []
    for name in listing.files:
        (audio if name.lower().endswith(EXTENSIONS) else documents).append(name)
    return Inventory(source, expected, tuple(audio), tuple(documents), frozenset(listing.files), listing.closed)
