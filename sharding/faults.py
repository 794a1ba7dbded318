"""Why a recording was left out: the short, stable names in the index, the manifest and every summary."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Fault(StrEnum):
    """One reason for leaving a recording out of the shards."""

    MISSING = "missing"
    """No file there: a recording that the annotation names, or a symbolic link, that leads nowhere."""
    UNLISTED = "unlisted"
    """``labels.csv`` gives every recording its split, but has no row for this file."""
    KNOWN_BAD = "known_bad"
    """The data set's documentation lists the file as broken or as the wrong audio."""
    UNREADABLE = "unreadable"
    """The operating system refuses it: permissions, a loop of links, a pipe, a failing disk."""
    EMPTY = "empty"
    """0 bytes."""
    UNDECODABLE = "undecodable"
    """Not audio, or damaged from its first bytes on."""
    CHECKSUM = "checksum"
    """The file is not the one that the data set's list of checksums names: a damaged or half-finished download."""
    CRASHING = "crashing"
    """The decoder crashes on it, or needs more memory than there is, each time it is tried alone."""
    UNSUPPORTED = "unsupported"
    """Audio that libsndfile does not read (m4a, WMA, AC-3, APE, WavPack ...), and no ffmpeg is installed to read it."""
    TRUNCATED = "truncated"
    """The stream breaks off before the end that its header promises. An MP3 cut between two frames is whole."""
    NOT_FINITE = "not_finite"
    """A sample is NaN or infinite."""
    TOO_SHORT = "too_short"
    """Shorter than one crop of the encoder at the target rate."""
    TOO_LONG = "too_long"
    """More samples than the 4 GiB of a WAV file hold (27 hours at 22.05 kHz)."""
    SILENT = "silent"
    """Every sample is zero after rounding to 16 bits."""


HINTS: Mapping[str, str] = {
    Fault.MISSING: "recordings that the annotation names, or links, without a file",
    Fault.UNREADABLE: "no permission, or a failing disk; mend it and build with --retry-failed",
    Fault.CHECKSUM: "download these files again and build with --retry-failed",
    Fault.UNLISTED: "files without a row in labels.csv",
    Fault.UNSUPPORTED: "ffmpeg is not installed; install it and build with --retry-failed",
}
"""By reason, what it means where a user can mend it."""


class RecordingError(Exception):
    """A recording has to be left out; caught and counted by its fault, it never reaches the user as an error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault
