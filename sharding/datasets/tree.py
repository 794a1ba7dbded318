"""The audio files of a folder tree, whatever state it is in."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from sharding.datasets.catalog import readable_name
from sharding.storage import Place

# Read by libsndfile, and some it does not read: those are attempted and counted as undecodable, not passed over.
AUDIO_EXTENSIONS = frozenset(
    {
        *(".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".wave", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".aac", ".ac3", ".ape", ".m4a", ".m4b", ".mka", ".mp2", ".mp4", ".mpc", ".wma", ".wv"),
    }
)
SLUG_CHARACTERS = 40
HASH_DIGITS = 10


@dataclass(frozen=True)
class Tree:
    """What lies below a folder. All paths are relative to it, with ``/``, in sorted order."""

    audio: tuple[str, ...]
    """Files that are audio by their extension, links that lead nowhere included."""
    others: tuple[str, ...]
    """Every other file."""
    closed: tuple[str, ...]
    """Folders that cannot be listed."""


def walk(source: Place) -> Tree:
    """List a folder's files, by kind."""
    listing = source.walk()
    audio: list[str] = []
    others: list[str] = []
    for name in listing.files:
        (audio if posixpath.splitext(name)[1].lower() in AUDIO_EXTENSIONS else others).append(name)
    return Tree(tuple(audio), tuple(others), listing.closed)


def make_key(relative: str) -> str:
    """A recording's name in the shards: what is readable of its own name, and a hash of its whole path.

    >>> make_key("disc 1/01. Für Elise.mp3")
    '01_fur_elise-70d9852369'
    """
    stem = unicodedata.normalize("NFKD", Path(readable_name(relative)).stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^0-9a-z-]+", "_", stem)[:SLUG_CHARACTERS].strip("_-")
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:HASH_DIGITS]
    return f"{slug}-{digest}" if slug else digest
